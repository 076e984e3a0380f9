from __future__ import annotations

import math

import pytest
from torch import Tensor

from cu_core.methods.boundary_expanding import BoundaryExpanding
from tests.unit.cu_core.methods.tiny import batch, context, outputs


def test_the_shadow_class_is_learned_beside_the_head() -> None:
    state: dict[str, Tensor] = {}
    method = BoundaryExpanding()
    given = context(forget=outputs([[0.0, 0.0]], [[1.0, 0.0]]), state=state, learning_rate=0.3)
    losses = method.losses(given, batch([0], []))
    assert losses.total.item() == pytest.approx(math.log(3))  # three equal logits, the third is right
    losses.total.backward()
    method.edit_gradients(given)
    # d loss / d shadow logit = 1/3 - 1; times the embedding (1, 0) and 1 for the bias; a step of 0.3 against it
    assert state["shadow"].tolist() == pytest.approx([0.2, 0.0, 0.2])
