from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.losses.distillation import kl_share
from tests.golden.plain_losses import kl

ROWS, CLASSES = 6, 5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
@pytest.mark.parametrize("everyone", [ROWS, 17])
def test_share_and_gradients(seed: int, temperature: float, everyone: int) -> None:
    """KL(teacher || student), not the reverse; this rank holds 6 of ``everyone`` rows."""
    student, teacher = 2 * np.random.default_rng(seed).normal(size=(2, ROWS, CLASSES))
    mean, gradient = kl(student, teacher, temperature)
    given = torch.from_numpy(student.copy()).requires_grad_()
    share = kl_share(given, torch.from_numpy(teacher), everyone, temperature=temperature)
    share.backward()
    assert share.item() == pytest.approx(mean * ROWS / everyone, rel=1e-10)
    np.testing.assert_allclose(given.grad, gradient * ROWS / everyone, rtol=1e-10, atol=1e-13)


def test_the_temperature_is_one_by_default() -> None:
    student, teacher = np.random.default_rng(9).normal(size=(2, ROWS, CLASSES))
    share = kl_share(torch.from_numpy(student), torch.from_numpy(teacher), ROWS)
    assert share.item() == pytest.approx(kl(student, teacher, 1.0)[0], rel=1e-10)


@pytest.mark.parametrize("half", [0, 1])
def test_half_precision_logits_are_raised_to_float32(half: int) -> None:
    """Of the student or of the teacher."""
    pair = [torch.from_numpy(x).float() for x in 4 * np.random.default_rng(7).normal(size=(2, ROWS, CLASSES))]
    pair[half] = pair[half].bfloat16()
    share = kl_share(pair[0], pair[1], ROWS, temperature=2.0)
    assert share.dtype == torch.float32
    wanted = kl(pair[0].double().numpy(), pair[1].double().numpy(), 2.0)[0]
    assert share.item() == pytest.approx(wanted, rel=5e-6)


def test_no_rows_anywhere_are_zero_with_gradient() -> None:
    logits = torch.zeros(0, CLASSES, requires_grad=True)
    share = kl_share(logits, torch.zeros(0, CLASSES), 0)
    share.backward()
    assert share.item() == 0
