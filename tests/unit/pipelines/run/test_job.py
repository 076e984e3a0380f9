"""What is found before a run begins leaves nothing behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from pipelines.run.job import run_job


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
