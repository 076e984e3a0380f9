from __future__ import annotations

import torch

from cu_core.methods.salun import SalUn
from tests.unit.cu_core.methods.tiny import Linear, context, preparation


def test_only_weights_of_large_forget_gradient_may_move() -> None:
    # With W = 0 both classes have p = 1/2 and the gradient is (p - y) x: zero where the forget row's pixel is zero.
    model = Linear([[0.0, 0.0], [0.0, 0.0]])
    prep = preparation(model, [[200.0, 0.0], [0.0, 100.0]], [0, 1], forget=[0])
    method = SalUn(mask_frac=2 / 6)  # two of four weights and two biases: those of the first pixel, |1/2 * 2| = 1
    assert method.prepare(prep) == 1
    assert prep.state["mask.body.weight"].tolist() == [[True, False], [True, False]]
    assert prep.state["mask.body.bias"].tolist() == [False, False]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    method.edit_gradients(context(model=model, state=prep.state))
    assert model.body.weight.grad is not None
    assert model.body.weight.grad.tolist() == [[1, 0], [1, 0]]
