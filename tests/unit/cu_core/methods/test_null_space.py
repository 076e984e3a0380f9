"""What the projection does to embeddings; tests/golden has its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cu_core.errors import UserError
from cu_core.methods.null_space import NullSpace
from tests.golden.tiny_clip import CLASSES, ClipCase
from tests.golden.tiny_clip_split import pairs_preparation
from tests.golden.tiny_model import weights_of

RETAINED = [c for c in range(len(CLASSES)) if c not in (1, 2)]


def test_no_image_tells_the_forgotten_classes_from_the_mean_of_all() -> None:
    case = ClipCase(0, "class", True)
    model, images = case.model(), case.batch.retain.images
    prompts = model.class_features().mean(0)
    apart = prompts - prompts.mean(0)
    before = model(images).embedding @ apart.T
    assert NullSpace().prepare(pairs_preparation(case)) == 0
    after = model(images).embedding @ apart.T
    assert before[:, [1, 2]].abs().min() > 1e-3
    assert after[:, [1, 2]].abs().max() < 1e-12
    assert after[:, RETAINED].abs().max() > 1e-3


def test_the_text_tower_and_the_tokens_below_the_projection_stay() -> None:
    case = ClipCase(1, "class", True)
    model, images = case.model(), case.batch.retain.images
    prompts, hidden = model.class_features().clone(), model(images).hidden
    NullSpace().prepare(pairs_preparation(case))
    assert torch.equal(model.class_features(), prompts)
    assert torch.equal(model(images).hidden, hidden)


def test_a_second_projection_changes_nothing() -> None:
    case = ClipCase(2, "class", True)
    NullSpace().prepare(pairs_preparation(case))
    once = weights_of(case.model())
    NullSpace().prepare(pairs_preparation(case))
    for name, value in weights_of(case.model()).items():
        np.testing.assert_allclose(value, once[name], atol=1e-12, err_msg=name)


def test_it_is_a_control_for_classes_of_image_text_models_and_needs_no_rows() -> None:
    method = NullSpace()
    assert (method.kinds, method.models, method.control, method.closed_form) == (
        ("class",),
        ("image-text",),
        True,
        True,
    )
    assert method.needs() == frozenset()
    with pytest.raises(UserError, match="null_space cannot forget samples"):
        method.check("sample")


def test_embeddings_keep_their_length() -> None:
    case = ClipCase(0, "class", True)
    NullSpace().prepare(pairs_preparation(case))
    found = case.model()(case.batch.forget.images).embedding
    torch.testing.assert_close(found, F.normalize(found, dim=-1))
