from __future__ import annotations

import math

import pytest
import torch

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


def test_softmax_form_is_the_cross_entropy_of_weights_and_similarities() -> None:
    original = {"forget": outputs([[9.0, LN3, 0.0]])}
    retain = outputs([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[0.6, 0.8], [0.8, 0.6]])
    given = context(kind="class", reference=original, forget=OUT["forget"], retain=retain)
    method = Contrastive(pull_weights="tilted", pull_form="softmax", temperature=0.5, lambda_ce=0.0)
    share = math.exp(1.2) / (math.exp(1.2) + math.exp(1.6))
    expected = -0.75 * math.log(share) - 0.25 * math.log(1 - share)
    assert method.losses(given, batch([0], [1, 2])).total.item() == pytest.approx(expected)


def test_forests_pull_to_the_own_class_too() -> None:
    """The target of row 0 gives class 0, its own, a share of 1/4 and class 1 one of 3/4."""
    state = {"ids": torch.tensor([0, 7]), "shares": torch.tensor([[0.25, 0.75], [1.0, 0.0]])}
    given = context(kind="sample", state=state, **OUT)
    method = Contrastive(terms="pull", pull_weights="forests", temperature=1.0, lambda_ce=0.0)
    assert method.losses(given, batch([0], [1, 0])).total.item() == pytest.approx(-(0.75 * 0.6 + 0.25 * 0.8))


def test_the_contrast_with_prototypes_is_the_cross_entropy_against_the_pulling_classes() -> None:
    original = {"forget": outputs([[9.0, LN3, 0.0]])}
    forget = outputs([[LN3, 0.0, 0.0]], [[1.0, 0.0]])
    given = context(kind="class", reference=original, forget=forget, retain=outputs([[0.0, 0.0, 0.0]], [[0.6, 0.8]]))
    method = Contrastive(pull_weights="tilted", lambda_ul=0.0, lambda_ce=0.0, lambda_prototype=2.0)
    assert method.losses(given, batch([0], [1])).total.item() == pytest.approx(2 * (math.log(5)))


def test_no_forgotten_class_is_a_target_of_another() -> None:
    """Classes 0 and 1 are forgotten: what the original gives a row of class 0 for class 1 must go too."""
    original = {"forget": outputs([[9.0, 9.0, LN3, 0.0]])}
    forget = outputs([[0.0, LN3, 0.0, 0.0]], [[1.0, 0.0]])
    retain = outputs([[0.0] * 4, [0.0] * 4], [[0.6, 0.8], [0.8, 0.6]])
    given = context(kind="class", reference=original, forget_classes=(0, 1), forget=forget, retain=retain)
    method = Contrastive(pull_weights="tilted", temperature=1.0, lambda_ce=0.0, lambda_prototype=1.0)
    losses = method.losses(given, batch([0], [2, 3]))
    assert losses.terms["prototype_loss"].item() == pytest.approx(math.log(6))  # 3/4 + 1/4 on answers of 1/6 each
    assert losses.terms["pull_loss"].item() == pytest.approx(-(0.75 * 0.6 + 0.25 * 0.8))
