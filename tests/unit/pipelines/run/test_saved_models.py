"""Models that are named: what is meant, and what is said of a name that means nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from cu_core.config import RunConfig
from cu_core.config_io import dump_config
from cu_core.data.requests import ByClass, ForgetSet, save_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError, DamagedFile
from cu_core.workspace import Workspace
from pipelines.run import saved_models
from pipelines.run.folder import RunFolder, begin_run
from pipelines.run.plan import Recorded, make_plan
from pipelines.run.saved_models import config_of, find_model, recorded_of


@pytest.fixture
def config(class_config: RunConfig, tmp_path: Path) -> RunConfig:
    """With a run ``finished`` and a run ``begun`` in a storage of its own."""
    made = replace(class_config, storage=str(tmp_path / "out"), seed=4)
    for name in ("finished", "begun"):
        (tmp_path / "out" / "runs" / name).mkdir(parents=True)
        (tmp_path / "out" / "runs" / name / "config.yaml").write_text(dump_config(made))
        (tmp_path / "out" / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "out" / "runs" / "finished" / "unlearned").mkdir()
    (tmp_path / "out" / "runs" / "finished" / "unlearned" / "meta.json").write_text("{}")
    return made


def test_a_model_is_audited_under_the_configuration_that_made_it(config: RunConfig) -> None:
    run = config.store / "runs" / "finished"
    for model in ("finished", str(run), str(run / "unlearned"), str(run / "unlearned" / "model.safetensors")):
        found = config_of(model, None, [f"storage={config.storage}", "audit.max_rows=20"])
        assert (found.seed, found.audit.max_rows) == (4, 20), model


@pytest.mark.parametrize("kept", [0, 5])
def test_a_configuration_that_is_not_as_the_run_wrote_it_is_named(config: RunConfig, kept: int) -> None:
    begin_run(config, RunFolder(config.store / "runs" / "new"), "d" * 16)
    file, overrides = config.store / "runs" / "new" / "config.yaml", [f"storage={config.storage}"]
    assert config_of("new", None, overrides).seed == 4
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:kept]))
    for read in (lambda: config_of("new", None, overrides), lambda: recorded_of(config, "new")):
        with pytest.raises(DamagedFile, match=r"new/config.yaml is damaged .* of run.json\); take it from a copy, or"):
            read()
    assert config_of("new", config.store / "runs" / "finished" / "config.yaml", overrides).seed == 4


def test_a_file_that_is_given_comes_first(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(dump_config(replace(config, seed=5)))
    assert config_of("finished", tmp_path / "other.yaml", []).seed == 5


def test_a_name_that_means_nothing_is_told(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"")
    overrides = [f"storage={config.storage}"]
    for model, told in (
        ("finishd", r"finishd: no run of that name in .*; did you mean finished\?"),
        ("zzz", r"zzz: no run of that name .*; runs there: begun, finished\."),
        ("a.yaml", "a.yaml is a configuration, not a model: cu audit MODEL --config a.yaml"),
        (str(tmp_path / "weights.safetensors"), "has no config.yaml beside it; say with --config"),
    ):
        with pytest.raises(ConfigError, match=told):
            config_of(model, None, overrides)


def test_a_configuration_in_mlflow_is_that_of_the_models_run(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def download(run_id: str, artifact_path: str, tracking_uri: str) -> str:
        asked.append((run_id, artifact_path))
        return str(config.store / "runs" / "finished" / "config.yaml")

    monkeypatch.setattr(saved_models, "download_artifacts", download)
    overrides = [f"storage={tmp_path / 'here'}"]
    assert config_of("runs:/abc/unlearned", None, overrides).seed == 4
    assert asked == [("abc", "config.yaml")]

    def fails(**given: Any) -> str:
        raise MlflowException("no such run\nin this database")

    monkeypatch.setattr(saved_models, "download_artifacts", fails)
    with pytest.raises(ConfigError, match=r"^runs:/abc/x: no configuration can be fetched \(no such run\); give one"):
        config_of("runs:/abc/x", None, overrides)


def test_a_run_is_found_by_its_name_and_as_a_folder(config: RunConfig) -> None:
    plan = make_plan(config)
    model = (config.store / "runs" / "finished" / "unlearned").resolve()
    for name in ("finished", str(model), str(model.parent)):
        assert find_model(plan, name) == model, name
    for name in ("begun", str(model.parents[1] / "begun")):
        with pytest.raises(ConfigError, match="has not made a model; cu unlearn goes on with --resume begun"):
            find_model(plan, name)
    with pytest.raises(ConfigError, match=r"begn: no run of that name .*did you mean begun\?"):
        find_model(plan, "begn")


def test_a_weights_file_is_taken_into_the_store_once(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []

    def import_original(made: Workspace, folder: Path) -> None:
        assert made.config.model.weights == str(tmp_path / "weights.safetensors")
        taken.append(folder)
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text("{}")

    monkeypatch.setattr(saved_models, "import_original", import_original)
    (tmp_path / "weights.safetensors").write_bytes(b"abc")
    plan = make_plan(config)
    found = [find_model(plan, str(tmp_path / "weights.safetensors")) for _ in range(2)]
    assert found == [taken[0]] * 2
    assert len(taken) == 1
    assert taken[0] != plan.original.folder


@pytest.fixture
def recorded(config: RunConfig, digits: Path) -> ForgetSet:
    """The forget set of the run ``finished``: its request is a class; copies in other classes went too."""
    manifest = ShardReader(digits).manifest
    rows = np.union1d(ShardReader(digits).integers_in("label", [5]), [0, 1, 2])
    forget = ForgetSet("class", (5,), rows, ShardReader(digits).sample_ids("train", rows), manifest.digest)
    save_forget_set(config.store / "requests", forget)
    record = {"request_digest": forget.digest, "data_digest": manifest.digest, "original": "first"}
    (config.store / "runs" / "finished" / "run.json").write_text(json.dumps(record))
    return forget


def test_a_run_is_audited_on_the_rows_that_it_forgot_not_on_what_its_request_finds_now(
    config: RunConfig, recorded: ForgetSet
) -> None:
    run = config.store / "runs" / "finished"
    resolved = make_plan(config)
    assert resolved.forget.digest != recorded.digest
    for model in ("finished", str(run), str(run / "unlearned")):
        plan = make_plan(config, recorded_of(config, model))
        assert plan.original.folder == config.store / "models" / "first"
        assert (plan.forget.digest, plan.forget.kind) == (recorded.digest, "class")
        assert [job.folder for job in plan.oracles] != [job.folder for job in resolved.oracles]
        assert plan.hashes["retain"] != resolved.hashes["retain"]


def test_a_model_of_the_registry_is_audited_on_the_rows_of_its_run(
    config: RunConfig, recorded: ForgetSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"run_folder": str(config.store / "runs" / "finished")}
    run = SimpleNamespace(data=SimpleNamespace(tags=tags))
    monkeypatch.setattr(saved_models, "open_client", lambda config: SimpleNamespace(get_run=lambda run_id: run))
    found = recorded_of(config, "runs:/abc/unlearned")
    assert found is not None
    assert found.forget_file == config.store / "requests" / recorded.digest / "forget.arrow"
    tags["run_folder"] = str(config.store / "runs" / "elsewhere")
    assert recorded_of(config, "runs:/abc/unlearned") is None


def test_under_another_training_the_rows_stay_and_the_original_is_another(
    config: RunConfig, recorded: ForgetSet
) -> None:
    other = replace(config, seed=9)
    plan = make_plan(other, recorded_of(other, "finished"))
    assert plan.forget.digest == recorded.digest
    assert plan.original.folder == make_plan(other).original.folder


def test_another_request_or_a_run_without_a_record_is_resolved(config: RunConfig, recorded: ForgetSet) -> None:
    assert recorded_of(replace(config, request=ByClass(classes=(6,))), "finished") is None
    assert recorded_of(config, "begun") is None


def test_rows_that_are_not_to_be_had_are_told(config: RunConfig, recorded: ForgetSet) -> None:
    record = config.store / "runs" / "finished" / "run.json"
    (config.store / "requests" / recorded.digest / "forget.arrow").unlink()
    with pytest.raises(ConfigError, match=r"forget.arrow is missing, .* finds others now; bring it from a copy"):
        make_plan(config, recorded_of(config, "finished"))
    digest = make_plan(config).forget.digest
    shutil.rmtree(config.store / "requests")
    assert make_plan(config, Recorded(config.store / "requests" / digest / "forget.arrow")).forget.digest == digest
    record.write_text(json.dumps({"request_digest": recorded.digest, "data_digest": "0" * 16}))
    with pytest.raises(
        ConfigError, match="finished was made with data of digest 0{16}; .* Its rows are not there; .*data.path=COPY"
    ):
        recorded_of(config, "finished")
