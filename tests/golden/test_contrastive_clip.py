from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cu_core.methods.contrastive_clip import BANK, ContrastiveClip
from cu_core.presets import IMAGE_TEXT_PAIRS
from cu_core.types import RequestKind
from tests.golden.plain_contrastive import mean_cosine
from tests.golden.plain_losses import Array, log_sum_exp, softmax
from tests.golden.plain_pairs import both_directions
from tests.golden.tiny_clip import CLASSES, TEMPLATES, ClipCase, Seen, texts_seen, tokenize
from tests.golden.tiny_clip_split import pairs_preparation
from tests.golden.tiny_model import SEEDS, weights_of

SCALE = float(np.exp(1.3))
OTHER = {
    "temperature": 0.3, "lambda_push": 1.7, "lambda_pull": 0.6, "uniform_pull": 0.4, "lambda_dispersion": 0.9,
    "lambda_retain": 1.2, "lambda_drift": 0.7,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "pairs": IMAGE_TEXT_PAIRS["method"],
    "other": OTHER,
    "no dispersion": OTHER | {"lambda_dispersion": 0.0},
}


def prompts_of(case: ClipCase) -> Array:
    """Every template of every forgotten class, by the text tower as it is now."""
    texts = [t.replace("{class}", CLASSES[c]) for t in TEMPLATES for c in case.forget_classes]
    return texts_seen(weights_of(case.model()), tokenize(texts)).unit if texts else np.zeros((0, 4))


class Total:
    """A loss and its gradients, summed up term by term."""

    def __init__(self, seen: dict[str, Seen]):
        self.loss, self.upstream, self.terms = (
            0.0,
            {n: np.zeros_like(s.unit) for n, s in seen.items()},
            dict[str, float](),
        )

    def add(self, name: str, weight: float, value: float) -> None:
        self.loss += weight * value
        self.terms[name] = self.terms.get(name, 0.0) + value


def pull(case: ClipCase, method: ContrastiveClip, total: Total, anchor: str, keys: str, share: float) -> None:
    """- sum_m w_im min(s_im, ceiling) / tau over retain rows with another caption than the anchor's."""
    seen, frozen = case.seen(), case.seen(1)
    for i, caption in enumerate(case.captions["forget"]):
        allowed = [m for m, other in enumerate(case.captions["retain"]) if other != caption]
        answer = softmax([SCALE * float(frozen[anchor].unit[i] @ frozen[keys].unit[m]) for m in allowed])
        for m, a in zip(allowed, answer, strict=True):
            weight = (1 - method.uniform_pull) * a + method.uniform_pull / len(allowed)
            cosine = float(seen[anchor].unit[i] @ seen[keys].unit[m])
            total.add(
                "pull_loss", method.lambda_pull, -share * weight * min(cosine, case.bounds[1]) / method.temperature
            )
            if cosine < case.bounds[1]:
                d = -method.lambda_pull * share * weight / method.temperature
                total.upstream[anchor][i] += d * seen[keys].unit[m]
                total.upstream[keys][m] += d * seen[anchor].unit[i]


def push(
    case: ClipCase, method: ContrastiveClip, total: Total, names: tuple[str, str, str], prompts: Array, share: float
) -> None:
    """log sum exp(max(s, floor) / tau) over captions of what is forgotten: of a class all captions of forget rows and
    all prompts, of pairs the own caption; and retain rows with the own caption."""
    seen, (anchor, own, keys) = case.seen(), names
    floor = case.bounds[0]
    if len(prompts):
        floor = float(np.mean([[x @ p for p in prompts] for x in seen["retain"].unit]))
    numbers = case.captions
    for i, caption in enumerate(numbers["forget"]):
        pushing: list[tuple[str, int, Array]] = [
            (own, j, seen[own].unit[j])
            for j, other in enumerate(numbers["forget"])
            if case.kind == "class" or other == caption
        ]
        pushing += [("", 0, p) for p in prompts]
        pushing += [(keys, m, seen[keys].unit[m]) for m, other in enumerate(numbers["retain"]) if other == caption]
        cosine = [float(seen[anchor].unit[i] @ key) for _, _, key in pushing]
        held = [max(c, floor) / method.temperature for c in cosine]
        total.add("push_loss", method.lambda_push, share * log_sum_exp(held))
        for (name, place, key), c, s in zip(pushing, cosine, softmax(held), strict=True):
            d = method.lambda_push * share * s / method.temperature * (c > floor)
            total.upstream[anchor][i] += d * key
            if name:
                total.upstream[name][place] += d * seen[anchor].unit[i]


def written_out(case: ClipCase, method: ContrastiveClip) -> tuple[Total, float]:
    """(loss and gradients of unit embeddings, gradient of the scale)."""
    seen, frozen = case.seen(), case.seen(1)
    total, count, retained = Total(seen), len(case.batch.forget), len(case.batch.retain)
    sides = 2 if case.texts_train else 1
    prompts = prompts_of(case)
    pull(case, method, total, "forget", "retain texts", 1 / sides / count)
    push(case, method, total, ("forget", "forget texts", "retain texts"), prompts, 1 / sides / count)
    if case.texts_train:
        pull(case, method, total, "forget texts", "retain", 1 / 2 / count)
        push(case, method, total, ("forget texts", "forget", "retain"), prompts[:0], 1 / 2 / count)
    fit = both_directions(seen["retain"].unit, seen["retain texts"].unit, case.captions["retain"], SCALE)
    total.add("retain_loss", method.lambda_retain, fit.loss)
    for name, gradient in (("retain", fit.images), ("retain texts", fit.texts)):
        total.upstream[name] += method.lambda_retain * gradient
        for row, (now, before) in enumerate(zip(seen[name].unit, frozen[name].unit, strict=True)):
            total.add("drift", method.lambda_drift, (1 - float(now @ before)) / retained)
            total.upstream[name][row] -= method.lambda_drift * before / retained
    if method.lambda_dispersion:
        cosine, gradient = mean_cosine(seen["forget"].unit)
        total.add("dispersion", method.lambda_dispersion, cosine)
        total.upstream["forget"] += method.lambda_dispersion * gradient
    return total, method.lambda_retain * fit.scale


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("texts_train", [False, True])
@pytest.mark.parametrize("kind", ["class", "sample"])
@pytest.mark.parametrize("name", SETTINGS)
def test_loss_terms_and_gradients(seed: int, texts_train: bool, kind: RequestKind, name: str) -> None:
    case, method = ClipCase(seed, kind, texts_train), ContrastiveClip(**SETTINGS[name])
    total, d_scale = written_out(case, method)
    losses = case.check(method, total.loss, total.upstream, d_scale)
    wanted = total.terms | {"loss": total.loss}
    assert {n: t.item() for n, t in losses.terms.items()} == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.6, -0.5)])
def test_floor_and_ceiling_hold(seed: int, bounds: tuple[float, float]) -> None:
    """Open at both ends; and so tight that most similarities lie beyond."""
    case, method = ClipCase(seed, "sample", True, bounds=bounds), ContrastiveClip()
    total, d_scale = written_out(case, method)
    case.check(method, total.loss, total.upstream, d_scale)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bounds_are_the_originals_mean_cosines(seed: int) -> None:
    """Ceiling: of retain images with captions that are theirs (also where rows share one); floor: with others'."""
    assert BANK == 512
    case = ClipCase(seed, "sample", False)
    prep = pairs_preparation(case)
    assert ContrastiveClip().prepare(prep) == len(case.batch.retain)
    images, texts = (case.seen()[n].unit for n in ("retain", "retain texts"))
    numbers = case.captions["retain"]
    same, other = [], []
    for i, own in enumerate(numbers):
        for m, caption in enumerate(numbers):
            (same if own == caption else other).append(float(images[i] @ texts[m]))
    assert prep.state["ceiling"].item() == pytest.approx(np.mean(same), rel=1e-10)
    assert prep.state["floor"].item() == pytest.approx(np.mean(other), rel=1e-10)
    assert not prep.state["floor"].requires_grad


def test_where_all_captions_are_alike_the_floor_is_the_mean() -> None:
    case = ClipCase(0, "sample", False)
    tokens = case.batch.retain.tokens
    assert tokens is not None
    tokens.copy_(tokens[:1].clone().expand_as(tokens))
    prep = pairs_preparation(case)
    ContrastiveClip().prepare(prep)
    images, texts = (case.seen()[n].unit for n in ("retain", "retain texts"))
    assert prep.state["floor"].item() == pytest.approx((images @ texts.T).mean(), rel=1e-10)
    assert torch.equal(prep.state["floor"], prep.state["ceiling"])
