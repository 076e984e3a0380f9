from __future__ import annotations

import pytest

from cu_core.methods.neggrad_plus import NegGradPlus
from tests.golden.plain_losses import cross_entropy
from tests.golden.tiny_model import SEEDS, Case, check, check_rounded, round_to_bfloat16


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", [None, 0.7])
def test_descent_on_retain_and_ascent_on_forget_rows(seed: int, beta: float | None) -> None:
    """beta CE(retain) - (1 - beta) CE(forget); 0.9 is the shipped beta."""
    case = Case(seed)
    forget, d_forget = cross_entropy(case.seen("forget").logits, case.labels("forget"))
    retain, d_retain = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    method = NegGradPlus() if beta is None else NegGradPlus(beta=beta)
    b = 0.9 if beta is None else beta
    upstream = {"forget": {"logits": -(1 - b) * d_forget}, "retain": {"logits": b * d_retain}}
    losses = check(method, case, b * retain - (1 - b) * forget, upstream)
    assert losses.terms["forget_loss"].item() == pytest.approx(forget, rel=1e-10)
    assert losses.terms["retain_loss"].item() == pytest.approx(retain, rel=1e-10)


def test_half_precision_answers_are_raised_before_the_loss() -> None:
    case = Case(3)
    forget, retain = (
        cross_entropy(round_to_bfloat16(case.seen(p)).logits, case.labels(p))[0] for p in case.batch.parts
    )
    check_rounded(NegGradPlus(), case, 0.9 * retain - 0.1 * forget)
