"""`cu sweep` as a process: trials that fail, a driver that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml
from mlflow.tracking import MlflowClient

from cu_core.config_io import load_config
from tests.conftest import title

CU = [sys.executable, "-m", "pipelines.cli.entry", "sweep"]
PARENT = "tags.`mlflow.parentRunId` = '{}'"


def write_sweep(folder: Path, digits: Path, workers: int = 1, **parts: Any) -> Path:
    base = {
        "data": {"path": str(digits)},
        "storage": "out",
        "model": {"name": "resnet10", "width": 8},
        "train": {"epochs": 2, "batch": 64, "optimizer": {"lr": 0.05}},
        "stop": {"max_steps": 12, "check_every": 3, "further_steps": 9},
        "workers": {"count": workers},
        "audit": {"oracles": 1, "audits": ["accuracy", "membership", "rebound"], "rebound_steps": 3, "max_rows": 200},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    sweep = {
        "base": "base.yaml",
        "tuning": {"seed": 9, "request": {"kind": "by_class", "classes": [7]}},
        "reported": {"seeds": [0]},
        "space": {"optimizer.lr": {"loguniform": [0.001, 0.05]}},
        **parts,
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(sweep))
    return folder


def start(place: Path, *more: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": str(Path.cwd())}
    words = [*CU, "small.yaml", *more]
    return subprocess.Popen(words, cwd=place, env=environment, text=True, stderr=subprocess.PIPE)


def trials(place: Path) -> pd.DataFrame:
    return pd.read_csv(place / "out" / "sweeps" / "small" / "trials.csv")


def children(place: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{place / 'out' / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`mlflow.runName` = 'sweep small'")
    assert parent.info.status == "FINISHED"
    return list(client.search_runs([experiment.experiment_id], PARENT.format(parent.info.run_id)))


def test_a_trial_that_diverges_is_recorded_and_the_others_finish_two_at_a_time(digits: Path, tmp_path: Path) -> None:
    space = {"optimizer.lr": {"choice": [0.003, 0.01, 0.03, 1.0e9]}}
    place = write_sweep(tmp_path, digits, algorithm="grid", space=space, scheduler="none")
    process = start(place)
    _, printed = process.communicate()
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    found = trials(place)
    assert sorted(found["state"]) == ["failed", "finished", "finished", "finished"]
    (failed,) = found[found["state"] == "failed"].itertuples()
    assert "the weights were not updated" in failed.reason
    done = found[found["state"] == "finished"].sort_values("begin")
    assert done["begin"].iloc[1] < done["end"].iloc[0], "with two CPUs, two run at once"
    assert sorted(run.info.status for run in children(place)) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]

    folder = place / "out" / "sweeps" / "small"
    winner = load_config(folder / "winner.yaml")
    assert winner.optimizer.lr == done.sort_values("objective").iloc[0]["optimizer.lr"]
    assert winner.audit.report_on == "test"
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 2
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    client = MlflowClient(f"sqlite:///{place / 'out' / 'mlflow.db'}")
    (model,) = client.search_registered_models()
    assert set(model.aliases) == {"swept"}


def wait_for(found: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)


def finished_cells(place: Path) -> int:
    return len(list((place / "out" / "cells").glob("*/audit-*.json")))


def test_a_killed_driver_goes_on_and_a_killed_trial_costs_itself_alone(digits: Path, tmp_path: Path) -> None:
    longer = {"stop": {"max_steps": 60, "check_every": 15, "further_steps": 45}}  # none is over when it is killed
    place = write_sweep(tmp_path, digits, trials=4, scheduler="none", set=longer)
    first = start(place)
    wait_for(lambda: finished_cells(place) >= 1, first)
    first.kill()
    first.communicate()

    second = start(place, "--resume", "small")

    def trial_processes() -> list[psutil.Process]:
        running = psutil.Process(second.pid).children(recursive=True)
        return [p for p in running if "ImplicitFunc.train" in title(p)]

    wait_for(trial_processes, second)
    trial_processes()[0].send_signal(signal.SIGKILL)
    _, printed = second.communicate()
    found = trials(place)
    assert sorted(found["state"]) == ["failed"] + 3 * ["finished"], printed
    assert second.returncode == 1, printed
    assert found["optimizer.lr"].nunique() == 4
    runs = children(place)
    digests = [run.data.tags["cell_digest"] for run in runs]
    assert len(set(digests)) == len(digests) == 4
    assert all(run.data.tags["whole"] == "yes" for run in runs)

    third = start(place)
    _, printed = third.communicate()
    assert third.returncode == 2
    assert "--resume small goes on with it" in printed
