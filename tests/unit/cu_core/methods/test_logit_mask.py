from __future__ import annotations

import pytest
import torch

from cu_core.methods.logit_mask import LogitMask
from tests.unit.cu_core.methods.tiny import Linear, preparation


class Wrapped(torch.nn.Module):
    def __init__(self, head: torch.nn.Module):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Flatten(), head)


def test_the_class_is_never_answered_and_the_others_answer_as_before() -> None:
    model = Wrapped(torch.nn.Linear(2, 3))
    images = torch.rand(50, 2)
    before = model.body(images)
    prep = preparation(model, [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0, 1, 2], forget=[1])
    assert LogitMask().prepare(prep) == 0
    after = model.body(images)
    assert (after.argmax(1) != 1).all()
    assert torch.isfinite(after.softmax(1)).all()
    torch.testing.assert_close(after[:, [0, 2]], before[:, [0, 2]])


def test_a_model_without_a_linear_head_is_refused() -> None:
    model = Linear([[1.0, 0.0], [0.0, 1.0]])
    model.body = torch.nn.Identity()  # type: ignore[assignment]
    model.scale = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="needs a final linear layer"):
        LogitMask().prepare(preparation(model, [[1.0, 0.0], [0.0, 1.0]], [0, 1], forget=[1]))
