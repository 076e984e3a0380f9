from __future__ import annotations

import math

import pytest
import torch

from cu_core.losses.distillation import kl_share


def test_it_is_kl_of_the_softened_answers_times_temperature_squared() -> None:
    teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.tensor([[0.0, 0.0]])
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert kl_share(student, teacher, 1, temperature=2.0).item() == pytest.approx(expected)
    assert kl_share(student, teacher, 5, temperature=2.0).item() == pytest.approx(expected / 5)
    assert kl_share(teacher, teacher, 1).item() == pytest.approx(0, abs=1e-7)


def test_shapes_and_temperature_are_checked() -> None:
    with pytest.raises(ValueError, match="one shape and a positive temperature"):
        kl_share(torch.zeros(1, 2), torch.zeros(1, 3), 1)
    with pytest.raises(ValueError, match="one shape and a positive temperature"):
        kl_share(torch.zeros(1, 2), torch.zeros(1, 2), 1, temperature=0.0)
