from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.methods.boundary_shrink import BoundaryShrink
from tests.golden.plain_losses import Array, cross_entropy
from tests.golden.tiny_model import CLASSES, MEAN, SEEDS, STD, Answers, Case, Gradients, backward, check, weights_of
from tests.golden.tiny_split import preparation


def logits_of(weights: Gradients, normalised: Array) -> Answers:
    w = {name.removeprefix("body."): value for name, value in weights.items()}
    hidden = np.tanh(normalised @ w["first.weight"].T + w["first.bias"])
    embedding = hidden @ w["embed.weight"].T + w["embed.bias"]
    return Answers(normalised, hidden, embedding, embedding @ w["head.weight"].T + w["head.bias"])


def nearest(case: Case, epsilon: float) -> dict[int, int]:
    """By sample_id: x' = clip(x + 255 epsilon sign(dL/dx)) row by row, its most likely class that may stay."""
    weights, found = weights_of(case.models[0]), {}
    forget = case.batch.forget
    for image, label, sample in zip(forget.images, case.labels("forget"), forget.sample_ids.tolist(), strict=True):
        pixels = image.reshape(1, -1).numpy().astype(np.float64)
        seen = logits_of(weights, (pixels / 255 - MEAN) / STD)
        _, gradient = backward(weights, seen, {"logits": cross_entropy(seen.logits, [label])[1]})
        moved = np.clip(pixels + 255 * epsilon * np.sign(gradient), 0, 255)
        answer = logits_of(weights, (moved / 255 - MEAN) / STD).logits[0]
        allowed = [c for c in range(CLASSES) if c != label and c not in case.forget_classes]
        found[sample] = max(allowed, key=lambda c: answer[c])
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["class", "sample"])
@pytest.mark.parametrize("epsilon", [None, 0.5])
def test_the_class_across_the_nearest_boundary(seed: int, kind: str, epsilon: float | None) -> None:
    case = Case(seed, kind)  # type: ignore[arg-type]
    method = BoundaryShrink() if epsilon is None else BoundaryShrink(epsilon=epsilon)
    assert method.prepare(preparation(case)) == 2 * len(case.batch.forget)
    wanted = nearest(case, 0.1 if epsilon is None else epsilon)
    assert case.state["ids"].tolist() == sorted(wanted)
    assert dict(zip(case.state["ids"].tolist(), case.state["nearest"].tolist(), strict=True)) == wanted


def test_the_step_changes_some_answers() -> None:
    """Else the direction and size of the step would be untested."""
    cases = [Case(seed, "sample") for seed in range(8)]
    found = {step: [nearest(c, step) for c in cases] for step in (0.0, 0.1, -0.1, 0.5)}
    assert found[0.1] != found[0.0]
    assert found[0.1] != found[-0.1]
    assert found[0.5] != found[0.1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_is_the_cross_entropy_with_the_class_that_was_found(seed: int) -> None:
    case = Case(seed)
    ids = case.batch.forget.sample_ids
    labels = {sample: (2 * n + seed) % CLASSES for n, sample in enumerate(ids.tolist())}
    case.state["ids"] = torch.tensor([*sorted([*labels, 3, 10_000])])
    case.state["nearest"] = torch.tensor([labels.get(i, 0) for i in case.state["ids"].tolist()])
    loss, gradient = cross_entropy(case.seen("forget").logits, [labels[i] for i in ids.tolist()])
    losses = check(BoundaryShrink(), case, loss, {"forget": {"logits": gradient}})
    assert losses.terms["relabel_loss"].item() == pytest.approx(loss, rel=1e-10)
