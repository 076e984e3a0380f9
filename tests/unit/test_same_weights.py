"""The runs that compare the weights of two commits: both data sets, and every kind of request."""

from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.config_io import load_config
from tests.same_weights import HERE, PACKS, RUNS


def test_both_data_sets_have_every_kind_of_request() -> None:
    kinds = {"class", "samples", "pairs"}
    for data in ("digits", "Fashion-MNIST"):
        assert kinds <= {name.removeprefix(f"{data}, ") for name in RUNS if name.startswith(data)}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_a_configuration_and_packed_data(name: str, tmp_path: Path) -> None:
    file, *settings = [word.format(data=tmp_path) for word in RUNS[name]]
    config = load_config(HERE / "tune_configs" / "base" / file, settings)
    assert Path(config.data.path).name in PACKS
    assert (config.train.epochs, config.stop.max_steps) == (3, 12)
    assert config.model.reads_captions == name.endswith("pairs")
