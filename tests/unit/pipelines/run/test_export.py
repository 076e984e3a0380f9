"""What an export writes, and when it writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cu_core.checkpoint import ADAPTER
from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from pipelines.run import export as exports
from pipelines.run.export import export


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(exports, "find_model", lambda plan, name: tmp_path / name)
    return tmp_path / "model"


def test_an_existing_folder_is_left_alone(class_config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--out .* already exists; name a new folder\.$"):
        export(class_config, "model", tmp_path, adapter=False)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_is_copied_whole_or_not_at_all(class_config: RunConfig, model: Path, tmp_path: Path) -> None:
    first, *others = ADAPTER
    (model / first).write_text("first")
    (model / "model.safetensors").write_text("weights")
    with pytest.raises(ConfigError, match="--adapter: model was not unlearned with trainable.tune=lora"):
        export(class_config, "model", tmp_path / "out", adapter=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    for name in others:
        (model / name).write_text(name)
    assert export(class_config, "model", tmp_path / "out", adapter=True) == sorted(ADAPTER)
    assert (tmp_path / "out" / first).read_text() == "first"


def test_a_classifier_is_written_with_the_names_of_its_classes_and_how_it_is_opened(
    class_config: RunConfig, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def write(config: Any, loaded: Any, names: Any, out: Path) -> list[str]:
        (out / "b").write_text(",".join(names))
        (out / "a").write_text(f"{config.name} {loaded}")
        return ["open it [so]"]

    monkeypatch.setattr(exports, "load_model", lambda config, reader, folder: folder.name)
    monkeypatch.setattr(exports, "write_classifier", write)
    assert export(class_config, "model", tmp_path / "out", adapter=False) == ["a", "b"]
    assert (tmp_path / "out" / "a").read_text() == "resnet10 model"
    assert (tmp_path / "out" / "b").read_text() == "0,1,2,3,4,5,6,7,8,9"
    assert "open it [so]" in capsys.readouterr().err
