from __future__ import annotations

import pytest

from cu_core.methods.gradient_ascent import GradientAscent
from tests.golden.plain_losses import cross_entropy
from tests.golden.tiny_model import SEEDS, Case, check, check_rounded, round_to_bfloat16


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["class", "sample"])
def test_the_loss_is_minus_the_mean_cross_entropy_of_forget_rows(seed: int, kind: str) -> None:
    case = Case(seed, kind)  # type: ignore[arg-type]
    loss, gradient = cross_entropy(case.seen("forget").logits, case.labels("forget"))
    losses = check(GradientAscent(), case, -loss, {"forget": {"logits": -gradient}})
    assert losses.terms["forget_loss"].item() == pytest.approx(loss, rel=1e-10)


def test_half_precision_answers_are_raised_before_the_loss() -> None:
    case = Case(3)
    seen = round_to_bfloat16(case.seen("forget"))
    check_rounded(GradientAscent(), case, -cross_entropy(seen.logits, case.labels("forget"))[0])
