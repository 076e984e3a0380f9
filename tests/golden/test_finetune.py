from __future__ import annotations

import pytest

from cu_core.methods.finetune import FineTune
from tests.golden.plain_losses import cross_entropy
from tests.golden.tiny_model import SEEDS, Case, check, check_rounded, round_to_bfloat16


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_is_the_mean_cross_entropy_of_retain_rows(seed: int) -> None:
    case = Case(seed)
    loss, gradient = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    losses = check(FineTune(), case, loss, {"retain": {"logits": gradient}})
    assert set(losses.terms) == {"loss", "retain_loss"}


def test_half_precision_answers_are_raised_before_the_loss() -> None:
    case = Case(3)
    seen = round_to_bfloat16(case.seen("retain"))
    check_rounded(FineTune(), case, cross_entropy(seen.logits, case.labels("retain"))[0])
