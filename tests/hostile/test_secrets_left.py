"""A run that was given passwords leaves none of them: not in its folder, in MLflow's database and files, or printed."""

from __future__ import annotations

import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cu_core.config import RunConfig, TrackingConfig
from pipelines.run import job
from pipelines.run import record as recording
from pipelines.run.job import run_job
from pipelines.tracking import mlflow_runs, server
from pipelines.tracking.sqlite_file import sqlite_uri

SECRET = "hunter2-Zw9"
NAMED = f"http://me:{SECRET}@mlflow.example:5000"


def test_a_run_leaves_no_password(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server that the password is for is a file here; what is recorded does not know."""
    for module in (mlflow_runs, server, job, recording):
        monkeypatch.setattr(module, "tracking_uri", lambda config: sqlite_uri(tmp_path / "mlflow.db"))
    monkeypatch.setattr(server, "source_of", lambda config: "tracking.uri")
    for variable in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(variable, SECRET)
    monkeypatch.setattr(sys, "argv", ["cu", "unlearn", "a.yaml", f"tracking.uri={NAMED}"])
    monkeypatch.setattr(recording, "register", lambda *args: "models:/x@y")  # its weights hold no settings
    config = replace(
        class_config,
        storage=str(tmp_path),
        name="a",
        tracking=TrackingConfig(uri=NAMED),
        stop=replace(class_config.stop, rule="none", max_steps=2),
        train=replace(class_config.train, epochs=0.1),
        audit=replace(class_config.audit, oracles=0, audits=("accuracy", "membership")),
    )
    run_job(config, local=True)
    said = "".join(capfd.readouterr())
    assert "run a: forget" in said
    assert SECRET not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"config.yaml", "mlflow.db", "report.html", "audit.json"} <= {path.name for path in files}
    assert [str(path) for path in files if SECRET.encode() in path.read_bytes()] == []
    assert "http://***@mlflow.example:5000" in (tmp_path / "runs" / "a" / "config.yaml").read_text()
    personal = [path for path in files if path.name in ("samples.parquet", "forget.arrow")]
    assert len(personal) >= 2
    assert [str(path) for path in personal if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
