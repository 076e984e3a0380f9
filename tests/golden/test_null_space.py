from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.null_space import NullSpace
from tests.golden.plain_losses import Array
from tests.golden.tiny_clip import CLASSES, DIM, TEMPLATES, ClipCase, texts_seen, tokenize
from tests.golden.tiny_clip_split import pairs_preparation
from tests.golden.tiny_model import SEEDS, Gradients, weights_of


def directions(weights: Gradients, forgotten: tuple[int, ...]) -> Array:
    """Mean prompt of each forgotten class less the mean over all classes."""
    prompts = np.zeros((len(CLASSES), DIM))
    for c, name in enumerate(CLASSES):
        for template in TEMPLATES:
            prompts[c] += texts_seen(weights, tokenize([template.replace("{class}", name)])).unit[0] / len(TEMPLATES)
    return np.stack([prompts[c] - prompts.mean(0) for c in forgotten])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("inputs_first", [True, False])
def test_the_projection_loses_the_forgotten_directions(seed: int, inputs_first: bool) -> None:
    """P (I - sum q q^T), q by Gram and Schmidt; nothing else changes."""
    case = ClipCase(seed, "class", True)
    towers = case.model().body
    towers.inputs_first = inputs_first
    if not inputs_first:  # as in transformers: (D, width)
        towers.body.visual.proj.data = towers.body.visual.proj.data.T.contiguous()
    before = weights_of(case.model())
    basis: list[Array] = []
    for direction in directions(before, case.forget_classes):
        rest = direction - sum(((direction @ q) * q for q in basis), np.zeros(DIM))
        basis.append(rest / np.linalg.norm(rest))
    keep = np.eye(DIM) - sum(np.outer(q, q) for q in basis)
    wanted = dict(before)
    name = "body.body.visual.proj"
    wanted[name] = before[name] @ keep if inputs_first else keep @ before[name]
    assert NullSpace().prepare(pairs_preparation(case)) == 0
    after = weights_of(case.model())
    for weight, value in wanted.items():
        np.testing.assert_allclose(after[weight], value, rtol=1e-10, atol=1e-12, err_msg=weight)
    assert np.abs(after[name] - before[name]).max() > 0.1
