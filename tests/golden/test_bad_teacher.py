from __future__ import annotations

import pytest

from cu_core.methods.bad_teacher import BadTeacher
from tests.golden.plain_losses import kl
from tests.golden.tiny_model import SEEDS, Case, check, round_to_bfloat16

ORIGINAL, UNTRAINED = 1, 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 1.0), (0.6, 2.5)])
def test_the_original_teaches_retain_rows_and_the_untrained_model_forget_rows(
    seed: int, weight: float, temperature: float
) -> None:
    case = Case(seed)
    shipped = (weight, temperature) == (1.0, 1.0)
    method = BadTeacher() if shipped else BadTeacher(lambda_forget=weight, temperature=temperature)
    forget, d_forget = kl(case.seen("forget").logits, case.seen("forget", UNTRAINED).logits, temperature)
    retain, d_retain = kl(case.seen("retain").logits, case.seen("retain", ORIGINAL).logits, temperature)
    upstream = {"forget": {"logits": weight * d_forget}, "retain": {"logits": d_retain}}
    losses = check(method, case, weight * forget + retain, upstream)
    assert losses.terms["forget_distance"].item() == pytest.approx(forget, rel=1e-10)
    assert losses.terms["retain_distance"].item() == pytest.approx(retain, rel=1e-10)


def test_half_precision_answers_are_raised_before_the_loss() -> None:
    case = Case(3)
    student = {part: round_to_bfloat16(case.seen(part)).logits for part in case.batch.parts}
    loss = kl(student["forget"], case.seen("forget", UNTRAINED).logits, 1.0)[0]
    loss += kl(student["retain"], case.seen("retain", ORIGINAL).logits, 1.0)[0]
    total = BadTeacher().losses(case.context(rounded=True), case.batch).total
    assert total.item() == pytest.approx(loss, rel=2e-6)
