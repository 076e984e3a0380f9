from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.config_io import config_from
from cu_core.errors import ConfigError
from pipelines.tracking.weights import fetch_weights


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model.safetensors"], None),
        ([], "must hold one .safetensors file, it holds 0"),
        (["a.safetensors", "b/c.safetensors"], "must hold one .safetensors file, it holds 2"),
    ],
)
def test_a_model_has_one_file_of_weights(
    names: list[str], message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in names:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"weights")
    monkeypatch.setattr("pipelines.tracking.weights.download_artifacts", lambda artifact_uri: str(model))
    config = config_from({"storage": str(tmp_path / "out")})
    if message:
        with pytest.raises(ConfigError, match=f"models:/a/1 {message}"):
            fetch_weights(config, "models:/a/1")
        return
    first = fetch_weights(config, "models:/a/1")
    assert first.read_bytes() == b"weights"
    assert first.parent == tmp_path / "out" / "downloads"
    assert fetch_weights(config, "models:/a/1") == first, "results depend on the name"


def test_a_file_of_the_storage_is_used_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "out" / "mlartifacts" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    monkeypatch.setattr("pipelines.tracking.weights.download_artifacts", lambda artifact_uri: str(file))
    assert fetch_weights(config_from({"storage": str(tmp_path / "out")}), "runs:/a/model") == file
