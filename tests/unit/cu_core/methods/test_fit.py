"""Two pairs at right angles and the scale log 3: a match has the probability 3/4. tests/golden has the gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cu_core.errors import UserError
from cu_core.methods.fit import caption_numbers, fit_share, gather_embeddings, image_to_text_sum, pair_share, scale_of
from cu_core.types import Batch, Outputs

EYE = torch.eye(2)
SCALE = torch.tensor(math.log(3))
MATCH, OTHER = math.log(4 / 3), math.log(4)
"""-log of 3/4 and of 1/4."""


def seen(embedding: Tensor, bias: float | None = None) -> Outputs:
    return Outputs(embedding, embedding, embedding, SCALE, None if bias is None else torch.tensor(bias))


def part(captions: list[int], labels: list[int] | None = None) -> Batch:
    count = len(captions)
    tokens = torch.tensor([[7, c] for c in captions], dtype=torch.int64).view(-1, 2)
    return Batch(torch.zeros(count, 1, 1, 1), torch.tensor(labels or [0] * count), torch.arange(count), tokens)


def pairs(name: str, images: Tensor, texts: Tensor, bias: float | None = None) -> dict[str, Outputs]:
    return {name: seen(images, bias), f"{name} texts": seen(texts, bias)}


def test_a_classifier_has_cross_entropy_over_the_rows_of_all_ranks() -> None:
    plain = Batch(torch.zeros(2, 1, 1, 1), torch.tensor([0, 0]), torch.arange(2))
    out = {"retain": seen(SCALE * EYE)}  # logits (log 3, 0) and (0, log 3)
    assert fit_share(out, {"retain": plain}, "retain", 5).item() == pytest.approx((MATCH + OTHER) / 5)


@pytest.mark.parametrize(
    ("captions", "loss"), [([1, 2], 2 * MATCH), ([1, 1], MATCH + OTHER)], ids=["two captions", "one caption"]
)
def test_pairs_are_contrasted_both_ways_and_equal_captions_share(captions: list[int], loss: float) -> None:
    """Two rows, two directions; a caption of both is half each row's."""
    found = fit_share(pairs("retain", EYE, EYE), {"retain": part(captions)}, "retain", 4)
    assert found.item() == pytest.approx(loss / 4)


def test_the_sigmoid_loss_has_one_direction() -> None:
    """A match has log 3 + bias, no match has the bias: here -log 3, so that the former is 1/2 and the latter 3/4."""
    out = pairs("retain", EYE, EYE, bias=-math.log(3))
    found = fit_share(out, {"retain": part([1, 2])}, "retain", 2)
    assert found.item() == pytest.approx(math.log(2) + MATCH)


def test_pairs_are_contrasted_with_other_sets_too() -> None:
    """A forget row at right angles to both retain rows: of three captions its own has 3 / 5, either way."""
    eye = torch.eye(3)
    out = pairs("forget", eye[:1], eye[:1]) | pairs("retain", eye[1:], eye[1:])
    parts = {"forget": part([1]), "retain": part([2, 3])}
    assert fit_share(out, parts, "forget", 1, ["retain"]).item() == pytest.approx(math.log(5 / 3))
    assert fit_share(out, parts, "forget", 1).item() == 0
    shared = {"forget": part([1]), "retain": part([1, 3])}
    wanted = (math.log(5 / 3) + math.log(5)) / 2
    assert fit_share(out, shared, "forget", 1, ["retain"]).item() == pytest.approx(wanted)


def test_one_direction_is_from_images_to_captions() -> None:
    """Both captions lie at the first image: it cannot tell them apart, and the second is at right angles to both."""
    out = pairs("retain", EYE, EYE[[0, 0]])
    own = torch.arange(2), torch.arange(2)
    assert image_to_text_sum(out, "retain", ["retain"], own).item() == pytest.approx(2 * math.log(2))
    both = pair_share(out, "retain", ["retain"], own, 1).item()
    assert both == pytest.approx((2 * math.log(2) + MATCH + OTHER) / 2)


def test_no_rows_have_no_loss_and_a_gradient() -> None:
    none = torch.zeros(0, 2, requires_grad=True)
    found = fit_share(pairs("retain", none, none), {"retain": part([])}, "retain", 0)
    assert found.item() == 0
    found.backward()
    assert none.grad is not None


def test_a_row_without_any_match_is_refused() -> None:
    with pytest.raises(UserError, match="no match among the gathered rows"):
        pair_share(pairs("retain", EYE, EYE), "retain", ["retain"], (torch.arange(2), torch.arange(2, 4)), 2)


def test_sets_are_gathered_in_the_order_of_their_names() -> None:
    out = {"a": seen(EYE[:1]), "b": seen(EYE.half())}
    found = gather_embeddings(out, ["b", "a"])
    assert found.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert found.dtype == torch.float32
    assert scale_of(out["a"]) is SCALE


def test_captions_are_equal_where_all_their_tokens_are() -> None:
    own, others = caption_numbers(part([4, 9]), [part([9]), part([5, 4])])
    assert (others[:, None] == own[None]).tolist() == [[False, True], [False, False], [True, False]]
    longer = Batch(torch.zeros(1), torch.zeros(1), torch.zeros(1), torch.tensor([[8, 4]]))
    own, others = caption_numbers(part([4]), [longer])
    assert own.tolist() != others.tolist()
