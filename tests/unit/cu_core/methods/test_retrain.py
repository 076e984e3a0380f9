from __future__ import annotations

import torch

from cu_core.methods.retrain import Retrain
from tests.unit.cu_core.methods.tiny import Linear, preparation


def test_it_starts_from_the_untrained_weights() -> None:
    model, untrained = Linear([[5.0, 1.0], [2.0, 3.0]]), Linear([[0.1, 0.2], [0.3, 0.4]])
    assert Retrain().prepare(preparation(model, [[1.0, 2.0], [3.0, 4.0]], [0, 1], [0], untrained)) == 0
    torch.testing.assert_close(model.body.weight, untrained.body.weight)
    assert model.body.weight is not untrained.body.weight
