from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from cu_core.config_io import load_config
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from cu_core.run import fresh_model
from pipelines.requests.opened import open_model
from pipelines.requests.places import Places
from pipelines.requests.policy import Policy
from tests.unit.pipelines.requests.answered import tiny_model


@pytest.fixture
def run(tmp_path: Path, digits: Path) -> Path:
    """A run that unlearned; the configuration lies beside the storage."""
    (tmp_path / "config.yaml").write_text(
        f"model: {{name: resnet10, width: 8}}\ndata: {{path: {digits}}}\nstorage: {tmp_path / 'out'}\n"
    )
    folder = tmp_path / "out" / "runs" / "friday"
    tiny_model(folder / "unlearned", 3.0)
    (folder / "run.json").write_text("{}")
    (tmp_path / "out" / "runs" / "begun").mkdir()
    return folder


def opened_with(tmp_path: Path, weights: Path, *overrides: str) -> Places:
    return open_model("faces", tmp_path / "config.yaml", [f"model.weights={weights}", *overrides], Policy())[0]


@pytest.mark.parametrize("where", ["folder", "file", "a copy elsewhere", "in another storage"])
def test_what_a_run_made_forget_is_not_opened_as_if_it_had_forgotten_nothing(
    tmp_path: Path, run: Path, where: str
) -> None:
    weights, overrides = run / "unlearned", list[str]()
    if where == "file":
        weights /= "model.safetensors"
    elif where == "a copy elsewhere":
        weights = Path(shutil.copy(weights / "model.safetensors", tmp_path / "w.safetensors"))
    elif where == "in another storage":
        overrides = [f"storage={tmp_path / 'other'}"]
    with pytest.raises(ConfigError, match="is the result of the run friday, which made it forget rows") as raised:
        opened_with(tmp_path, weights, *overrides)
    assert f"cu requests open faces {run}/config.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.rglob("ledgers"))


def test_other_weights_are_opened(tmp_path: Path, run: Path, reader: ShardReader) -> None:
    model = fresh_model(load_config(tmp_path / "config.yaml"), reader, 0)
    save_file(model.state_dict(), tmp_path / "own")
    assert len(opened_with(tmp_path, tmp_path / "own").ledger.read()) == 1
