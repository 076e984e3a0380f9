from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.config import RunConfig
from cu_core.errors import NonFiniteError
from cu_core.run import Hooks, run_train
from cu_core.unlearn.optim import OptimizerConfig, learning_rate
from cu_core.workspace import Workspace
from tests.conftest import small


def test_cosine_rises_then_falls_to_zero() -> None:
    config = OptimizerConfig(lr=1.0, schedule="cosine", warmup_frac=0.2)
    rates = [learning_rate(config, step, 100) for step in range(101)]
    assert rates[20] == pytest.approx(1.0)
    assert (np.diff(rates[:20]) > 0).all()
    assert (np.diff(rates[21:]) < 0).all()
    assert rates[100] == pytest.approx(0)
    assert learning_rate(OptimizerConfig(lr=0.3), 7, 9) == 0.3


def test_non_finite_values_stop_before_the_update(digits: Path, storage: Path, tmp_path: Path) -> None:
    config: RunConfig = small(digits, storage, train={"epochs": 2, "optimizer": {"lr": 1e9}})
    with pytest.raises(NonFiniteError, match="the weights were not updated"):
        run_train(Workspace(config), tmp_path / "model", Hooks())
    assert not (tmp_path / "model").exists()


def test_training_counts_rows_and_is_reproducible(digits: Path, storage: Path, tmp_path: Path) -> None:
    config = small(digits, storage, train={"epochs": 2, "batch": 100})
    first, again = (run_train(Workspace(config), tmp_path / name, Hooks()) for name in "ab")
    assert first.steps == again.steps == round(2 * 1079 / 100)
    assert first.retain_rows == first.retain_ids_checked == first.steps * 100
    assert first.forget_rows == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
