"""Runs and models in MLflow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from cu_core.config import RunConfig, TrackingConfig
from pipelines.tracking.mlflow_runs import (
    aliased_weights,
    end_run,
    flat,
    log_figures,
    log_files,
    model_name,
    point_alias,
    run_of_model,
    start_run,
)
from pipelines.tracking.server import tracking_uri


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """One database for all tests: it takes seconds to make."""
    return replace(RunConfig(), storage=str(tmp_path_factory.mktemp("storage")), name="a")


def test_a_run_that_a_lost_database_held_is_recorded_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(RunConfig(), storage=str(tmp_path), name="a")
    (tmp_path / "runs" / "a").mkdir(parents=True)
    run_id = start_run(config, {"seed": 0}, {}, "0" * 32)
    said = " ".join(capsys.readouterr().err.split())
    assert "was made anew: it lacks earlier runs" in said
    assert f"MLflow has no run {'0' * 32} any more: a new one is recorded" in said
    assert start_run(config, {"seed": 0}, {}, run_id) == run_id
    MlflowClient(tracking_uri(config)).delete_run(run_id)
    assert start_run(config, {"seed": 0}, {}, run_id) != run_id


def test_a_model_is_named_by_what_a_registry_takes() -> None:
    config = replace(RunConfig(), data=replace(RunConfig().data, path="data/bob's: photos"))
    assert model_name(config) == "bob-s- photos-resnet18"
    named = replace(config, tracking=TrackingConfig(registry_name="mine"))
    assert model_name(named) == "mine"
    in_a_file = replace(config, model=replace(config.model, name="open_clip:/models/tiny.json"))
    assert model_name(in_a_file) == "bob-s- photos-open_clip.tiny"
    assert model_name(replace(config, model=replace(config.model, name="timm:vit"))) == "bob-s- photos-timm.vit"


def test_nested_settings_are_dotted_and_cut() -> None:
    found = flat({"a": {"b": 1, "c": {"d": None}}, "empty": {}, "long": "x" * 600, "list": [1, 2]})
    assert found == {"a.b": "1", "a.c.d": "None", "empty": "{}", "long": "x" * 500, "list": "[1, 2]"}


def test_a_run_holds_settings_figures_tags_and_files(config: RunConfig, tmp_path: Path) -> None:
    run_id = start_run(config, {"optimizer": {"lr": 0.1}}, {"mark": "x"}, None)
    log_figures(config, run_id, {"audit/gap": 1.5}, {"verdict": "y" * 5000})
    (tmp_path / "f.txt").write_text("content")
    log_files(config, run_id, tmp_path, ["f.txt"])
    end_run(config, run_id, "KILLED")
    client = MlflowClient(tracking_uri(config))
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("a", "KILLED")
    assert run.data.params == {"optimizer.lr": "0.1"}
    assert run.data.metrics == {"audit/gap": 1.5}
    assert (run.data.tags["mark"], run.data.tags["verdict"]) == ("x", "y" * 4000)
    assert Path(client.download_artifacts(run_id, "f.txt", str(tmp_path / "there"))).read_text() == "content"
    assert start_run(config, {}, {}, run_id) == run_id
    assert client.get_run(run_id).info.status == "RUNNING"


def test_the_run_of_a_model_is_found_by_every_kind_of_address(config: RunConfig, tmp_path: Path) -> None:
    run_id = start_run(config, {}, {}, None)
    client = MlflowClient(tracking_uri(config))
    client.create_registered_model("m")
    client.create_model_version("m", tmp_path.as_uri(), run_id)
    client.set_registered_model_alias("m", "unlearned", "1")
    for uri in (f"runs:/{run_id}/unlearned", "models:/m/1", "models:/m@unlearned"):
        assert run_of_model(config, uri) == run_id, uri
    with pytest.raises(MlflowException, match="models:/m must have the form models:/NAME@ALIAS"):
        run_of_model(config, "models:/m")


def test_an_alias_names_the_version_of_some_weights_or_none(config: RunConfig) -> None:
    named = replace(config, tracking=TrackingConfig(registry_name="faces"))
    run_id = start_run(named, {}, {}, None)
    client = MlflowClient(tracking_uri(named))
    assert point_alias(named, "current", "w1") is None, "there is no such model yet"
    client.create_registered_model("faces")
    for weights in ("w1", "w2"):
        client.create_model_version("faces", f"runs:/{run_id}/model", run_id, tags={"weights": weights})
    assert point_alias(named, "current", "w2") == "2"
    assert point_alias(named, "current", "w1") == "1"
    assert client.get_model_version_by_alias("faces", "current").tags["weights"] == "w1"
    assert aliased_weights(named) == {"current": ("1", "w1")}
    assert aliased_weights(replace(config, tracking=TrackingConfig(registry_name="nobody"))) == {}
    for unknown in ("w3", None):
        assert point_alias(named, "current", unknown) is None
        assert client.get_registered_model("faces").aliases == {}
