from __future__ import annotations

import math

import pytest

from cu_core.methods.contrastive import Contrastive
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs

# The forget row lies at (1, 0); retain rows of class 1 at cosine 0.6 and of class 0, its own, at cosine 0.8.
OUT = {
    "forget": outputs([[0.0, 0.0]], [[2.0, 0.0]]),
    "retain": outputs([[0.0, LN3], [0.0, LN3]], [[0.6, 0.8], [0.8, 0.6]]),
}


@pytest.mark.parametrize(
    ("terms", "unlearn"), [("both", (-0.6 + 0.8) / 0.5), ("pull", -0.6 / 0.5), ("push", 0.8 / 0.5)]
)
def test_equation_7_with_one_row_on_each_side(terms: str, unlearn: float) -> None:
    method = Contrastive(terms=terms, temperature=0.5, lambda_ul=3.0, lambda_ce=2.0)  # type: ignore[arg-type]
    losses = method.losses(context(kind="sample", **OUT), batch([0], [1, 0]))
    entropy = (math.log(4 / 3) + math.log(4)) / 2
    assert losses.total.item() == pytest.approx(3 * unlearn + 2 * entropy)
    assert losses.terms["frac_without_same_class"] == 0


def test_tilted_weights_follow_the_original_with_the_class_masked() -> None:
    original = {"forget": outputs([[9.0, LN3, 0.0]])}  # class 0 masked: 3/4 for class 1, 1/4 for class 2
    retain = outputs([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[0.6, 0.8], [0.8, 0.6]])
    given = context(kind="class", reference=original, forget=OUT["forget"], retain=retain)
    losses = Contrastive(pull_weights="tilted", temperature=1.0, lambda_ce=0.0).losses(given, batch([0], [1, 2]))
    assert losses.total.item() == pytest.approx(-(0.75 * 0.6 + 0.25 * 0.8))
