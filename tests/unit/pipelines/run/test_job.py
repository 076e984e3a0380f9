"""What is found before a run begins leaves nothing behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from pipelines.run.folder import RunFolder, begin_run
from pipelines.run.job import copies_recorded, mlflow_run, run_job
from pipelines.run.plan import make_plan
from tests.conftest import small


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        (
            "uri",
            "http://127.0.0.1:1",
            "tracking.uri: MLflow at http://127.0.0.1:1 cannot be used: .*refused.*mlflow.db",
        ),
        ("uri", "sqlite:////proc/nope/x.db", "there is no folder /proc/nope"),
        ("uri", "file:///tmp/x", "MLflow at file:///tmp/x cannot be used"),
        ("registry_name", "a:b", "tracking.registry_name: MLflow refuses 'a:b'"),
        ("registry_name", "..", "tracking.registry_name: MLflow refuses '..'"),
        ("experiment", "x" * 600, "exceeds the maximum length"),
    ],
)
def test_what_mlflow_refuses_is_found_before_anything_begins(
    setting: str, value: str, message: str, class_config: RunConfig, storage: Path
) -> None:
    tracking = replace(class_config.tracking, **{setting: value})
    with pytest.raises(ConfigError, match=message):
        run_job(replace(class_config, name="never", tracking=tracking), local=True)
    assert "never" not in (os.listdir(storage / "runs") if (storage / "runs").exists() else ())


def test_a_server_is_named_by_what_named_it(class_config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"^MLFLOW_TRACKING_URI: MLflow at .*unset it"):
        run_job(class_config, local=True)


def test_what_stops_a_run_is_told_though_mlflow_stopped_too(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = replace(class_config, storage=str(tmp_path), name="stopped")
    plan, folder = make_plan(config), RunFolder(tmp_path / "runs" / "stopped")
    begin_run(config, folder, plan.digest)
    stopping = mlflow_run(plan, folder, {})
    stopping.__enter__()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    fault = ZeroDivisionError()
    assert not stopping.__exit__(ZeroDivisionError, fault, None)
    said = capsys.readouterr().err
    assert "MLflow at http://127.0.0.1:1 cannot be used" in said
    assert "--resume stopped goes on" in said
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ConfigError, match=r"MLflow at .* cannot be used"), mlflow_run(plan, folder, {}):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")


def test_a_run_records_the_copies_that_its_request_asks_for(digits: Path, tmp_path: Path) -> None:
    asked = small(digits, tmp_path, request={"kind": "by_random", "count": 5, "duplicates": "report"})
    found = make_plan(asked).forget.copies
    assert found is not None
    recorded = copies_recorded(make_plan(asked))
    assert (
        recorded["copies_of_forget_rows"]["rows"]
        == len(found.rows)
        == sum(count for kind, count in recorded["copies_of_forget_rows"].items() if kind != "rows")
    )
    assert copies_recorded(make_plan(small(digits, tmp_path))) == {}
