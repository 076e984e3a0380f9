from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.config import RunConfig
from cu_core.data.forget_split import RowSet
from cu_core.errors import UserError
from cu_core.run import Hooks, load_model, run_train
from cu_core.unlearn.evaluate import predict
from cu_core.workspace import Workspace
from pipelines.run.features import features_of
from tests.conftest import small


def test_features_are_the_embedding_of_the_saved_model(digits: Path, tmp_path: Path) -> None:
    config: RunConfig = small(digits, tmp_path, train={"epochs": 0.1, "batch": 64})
    run_train(Workspace(config), tmp_path / "model", Hooks())
    embed, reader = features_of(tmp_path / "model", digits)
    rows = np.array([3, 1])
    expected = predict(load_model(config, reader, tmp_path / "model"), reader, RowSet("val", rows)).embedding
    np.testing.assert_array_equal(embed("val", rows), expected)


def test_a_folder_without_a_model_is_refused(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--model: .* is no saved model; name the folder that `cu train CONFIG` prints"):
        features_of(tmp_path, digits)
