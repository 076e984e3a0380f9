"""The training loss of image-text models, and the methods that use it for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.methods.finetune import FineTune
from cu_core.methods.fit import caption_numbers, in_full
from cu_core.methods.gradient_ascent import GradientAscent
from cu_core.methods.neggrad_plus import NegGradPlus
from cu_core.methods.random_label import RandomLabel
from tests.golden.plain_losses import Array, hash_of
from tests.golden.plain_pairs import Pairs, both_directions, matching, one_direction, sigmoid_pairs
from tests.golden.tiny_clip import ClipCase, Seen
from tests.golden.tiny_model import SEEDS

SCALE, BIAS = float(np.exp(1.3)), -2.0
Upstream = dict[str, Array]
EITHER = pytest.mark.parametrize("sigmoid", [False, True])
TRAINED = pytest.mark.parametrize("texts_train", [False, True])
SEEDED = pytest.mark.parametrize("seed", SEEDS)


def added(*parts: tuple[float, Upstream]) -> Upstream:
    total: Upstream = {}
    for factor, upstream in parts:
        for name, gradient in upstream.items():
            total[name] = total.get(name, 0) + factor * gradient
    return total


def retain_fit(case: ClipCase, seen: dict[str, Seen]) -> tuple[Pairs, Upstream]:
    images, texts, captions = seen["retain"].unit, seen["retain texts"].unit, case.captions["retain"]
    if case.sigmoid:
        found = sigmoid_pairs(images, texts, matching(captions, captions), SCALE, BIAS)
        found = Pairs(*(v / len(images) for v in found))  # type: ignore[arg-type]
    else:
        found = both_directions(images, texts, captions, SCALE)
    return found, {"retain": found.images, "retain texts": found.texts}


def forget_fit(case: ClipCase, seen: dict[str, Seen]) -> tuple[Pairs, Upstream]:
    """Forget pairs contrasted with all pairs of the step."""
    count, captions = len(case.batch.forget), case.captions
    everyone = {"": np.concatenate([seen["forget"].unit, seen["retain"].unit])}
    everyone["texts"] = np.concatenate([seen["forget texts"].unit, seen["retain texts"].unit])
    matches = matching(captions["forget"], captions["forget"] + captions["retain"])
    if case.sigmoid:
        there = sigmoid_pairs(seen["forget"].unit, everyone["texts"], matches, SCALE, BIAS)
        found = Pairs(*(v / count for v in there))  # type: ignore[arg-type]
        back = np.zeros_like(everyone[""])
        of_texts = np.zeros_like(seen["forget texts"].unit)
    else:
        there = one_direction(seen["forget"].unit, everyone["texts"], matches, SCALE)
        other = one_direction(seen["forget texts"].unit, everyone[""], matches, SCALE)
        both = (there.loss + other.loss, there.images, there.texts, there.scale + other.scale)
        found = Pairs(*(v / 2 / count for v in both))  # type: ignore[arg-type]
        back, of_texts = other.texts / 2 / count, other.images / 2 / count
    upstream = {
        "forget": found.images + back[:count],
        "retain": back[count:],
        "forget texts": found.texts[:count] + of_texts,
        "retain texts": found.texts[count:],
    }
    return found, upstream


@SEEDED
@EITHER
@TRAINED
def test_finetune_contrasts_retain_pairs(seed: int, sigmoid: bool, texts_train: bool) -> None:
    case = ClipCase(seed, "sample", texts_train, sigmoid)
    fit, upstream = retain_fit(case, case.seen())
    case.check(FineTune(), fit.loss, upstream, fit.scale, fit.bias)


@SEEDED
@EITHER
@TRAINED
def test_neggrad_plus_contrasts_forget_pairs_with_all(seed: int, sigmoid: bool, texts_train: bool) -> None:
    case = ClipCase(seed, "sample", texts_train, sigmoid)
    (forget, d_forget), (retain, d_retain) = forget_fit(case, case.seen()), retain_fit(case, case.seen())
    values = [0.9 * getattr(retain, n) - 0.1 * getattr(forget, n) for n in ("loss", "scale", "bias")]
    losses = case.check(NegGradPlus(), values[0], added((0.9, d_retain), (-0.1, d_forget)), *values[1:])
    assert losses.terms["forget_loss"].item() == pytest.approx(forget.loss, rel=1e-10)


@SEEDED
@EITHER
@TRAINED
def test_gradient_ascent_parts_images_from_their_captions(seed: int, sigmoid: bool, texts_train: bool) -> None:
    """Minus scale times the mean of 1 - cosine."""
    case = ClipCase(seed, "class", texts_train, sigmoid)
    images, texts = (case.seen()[n].unit for n in ("forget", "forget texts"))
    distance = sum(1 - float(a @ b) for a, b in zip(images, texts, strict=True)) / len(images)
    upstream = {"forget": SCALE * texts / len(images), "forget texts": SCALE * images / len(images)}
    losses = case.check(GradientAscent(), -SCALE * distance, upstream, -distance)
    assert losses.terms["forget_loss"].item() == pytest.approx(SCALE * distance, rel=1e-10)


def wrong_captions(case: ClipCase) -> list[list[int]]:
    """Retain rows with the caption of one of those that have another than the row's own; a hash picks which."""
    own, theirs, out = case.captions["forget"], case.captions["retain"], []
    for caption, sample in zip(own, case.batch.forget.sample_ids.tolist(), strict=True):
        others = [m for m, other in enumerate(theirs) if other != caption]
        chosen = theirs[others[hash_of(sample, 17, 32) % 2**31 % len(others)]]
        out.append([m for m, other in enumerate(theirs) if other == chosen])
    return out


@SEEDED
@EITHER
@TRAINED
def test_random_label_matches_images_to_wrong_captions(seed: int, sigmoid: bool, texts_train: bool) -> None:
    case = ClipCase(seed, "sample", texts_train, sigmoid)
    seen, count = case.seen(), len(case.batch.forget)
    texts = np.concatenate([seen["forget texts"].unit, seen["retain texts"].unit])
    matches = [[count + m for m in row] for row in wrong_captions(case)]
    found = (
        sigmoid_pairs(seen["forget"].unit, texts, matches, SCALE, BIAS)
        if sigmoid
        else one_direction(seen["forget"].unit, texts, matches, SCALE)
    )
    retain, d_retain = retain_fit(case, seen)
    d_forget = {"forget": found.images, "forget texts": found.texts[:count], "retain texts": found.texts[count:]}
    values = [getattr(found, n) / count + 0.3 * getattr(retain, n) for n in ("loss", "scale", "bias")]
    method = RandomLabel(lambda_retain=0.3)
    case.check(method, values[0], added((1 / count, d_forget), (0.3, d_retain)), *values[1:])


def test_captions_are_numbered_by_their_tokens() -> None:
    case = ClipCase(0, "sample", False)
    own, others = caption_numbers(case.batch.forget, [case.batch.retain, case.batch.forget])
    numbers = case.captions["retain"] + case.captions["forget"]
    for i, caption in enumerate(case.captions["forget"]):
        assert (others == own[i]).tolist() == [other == caption for other in numbers]


def test_half_precision_is_raised_and_others_kept() -> None:
    kept = {dtype: in_full(torch.ones(1, dtype=dtype)).dtype for dtype in (torch.bfloat16, torch.float16)}
    assert set(kept.values()) == {torch.float32}
    assert in_full(torch.ones(1, dtype=torch.float32)).dtype == torch.float32
    assert in_full(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
