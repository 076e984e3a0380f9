"""Eight whole runs at once on one MLflow server with PostgreSQL and users; the server is killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from cu_core.config_io import dump_config
from tests.conftest import small
from tests.integration.test_mlflow_server import USER, Server, database, server  # noqa: F401 (fixtures)
from tests.integration.test_mlflow_server import pytestmark as needs

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500), needs]
RUNS, STEPS = 8, 400


def test_nothing_is_lost(
    server: Server,  # noqa: F811
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in USER.items():
        monkeypatch.setenv(name, value)
    config = small(
        digits,
        tmp_path,
        tracking={"uri": server.uri},
        batches={"forget_batch": 16, "retain_batch": 16},
        stop={"rule": "none", "max_steps": STEPS},
        optimizer={"lr": 0.001},
    )
    file = tmp_path / "run.yaml"
    file.write_text(dump_config(config))
    cu = [sys.executable, "-m", "pipelines.cli.entry"]
    subprocess.run([*cu, "train", file, "--oracles", "--local"], check=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen([*cu, "unlearn", file, "--local", f"name=run{n}", f"optimizer.lr={0.001 + n / 1e4}"],
                         env=environment, stderr=subprocess.PIPE, text=True)
        for n in range(RUNS)
    ]  # fmt: skip
    while not all((tmp_path / "runs" / f"run{n}" / "steps.json").is_file() for n in range(RUNS)):
        assert all(run.poll() is None for run in runs), "a run ended before all were writing"
        time.sleep(0.1)
    server.kill()
    time.sleep(5)
    server.start()
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors[-3000:]
    client = MlflowClient(server.uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == config.tracking.experiment]
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(found) == {f"run{n}" for n in range(RUNS)}
    for run in found.values():
        assert run.info.status == "FINISHED"
        points = [m.step for m in client.get_metric_history(run.info.run_id, "step/loss")]
        assert points == list(range(1, STEPS + 1))
        assert {"report.html", "audit.json", "config.yaml"} <= {a.path for a in client.list_artifacts(run.info.run_id)}
        assert "oracle_gap" in run.data.metrics
