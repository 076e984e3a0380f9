"""Real Ray Train workers and a real MLflow database: one undisturbed run, and one whose worker is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import ray
import torch
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.models.towers import open_clip_towers
from cu_core.run import Hooks, import_original, load_model, run_train
from cu_core.types import StepReport
from cu_core.workers import TrainWorkers, WorkersConfig
from cu_core.workspace import Workspace
from pipelines.bench.scaling import measure
from pipelines.cluster.session import check_room, ray_session
from pipelines.run.auditing import audit
from pipelines.run.job import JobResult, run_job
from pipelines.run.plan import make_plan
from pipelines.run.training import train_side_by_side
from pipelines.tracking.mlflow_runs import tracking_uri
from pipelines.tracking.prometheus import GAUGES, StepMetrics
from tests.conftest import small, small_clip, title

STEPS = 120


@pytest.fixture(scope="module")
def config(digits: Path, storage: Path) -> RunConfig:
    return small(
        digits,
        storage,
        workers={"count": 2, "checkpoint_every": 20},
        batches={"forget_batch": 16, "retain_batch": 16},
        optimizer={"lr": 0.005},
        stop={"max_steps": STEPS, "check_every": 40, "further_steps": STEPS},
    )


@pytest.fixture(scope="module")
def session(config: RunConfig) -> Iterator[None]:
    with ray_session(config):
        yield


@pytest.fixture(scope="module")
def undisturbed(session: None, config: RunConfig) -> JobResult:
    return run_job(replace(config, name="undisturbed"))


def weights_of(finished: JobResult) -> dict[str, torch.Tensor]:
    return load_file(finished.folder.unlearned / "model.safetensors")


def test_everything_is_in_mlflow_once(undisturbed: JobResult) -> None:
    client = MlflowClient(tracking_uri(undisturbed.config))
    run = client.get_run(undisturbed.folder.record()["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["method.temperature"] == "0.1"
    assert run.data.tags["verdict"] == undisturbed.report.verdict.word
    assert {"data_digest", "request_digest", "config_digest", "git_commit"} <= run.data.tags.keys()
    assert run.inputs.dataset_inputs[0].dataset.digest == run.data.tags["data_digest"]
    points = [m.step for m in client.get_metric_history(run.info.run_id, "step/loss")]
    assert points == list(range(1, undisturbed.report.cost["steps"] + 1))
    assert run.data.metrics["oracle_gap"] == pytest.approx(undisturbed.report.gap.mean)
    names = {a.path for a in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "audit.json", "samples.parquet", "report.html", "forget.arrow"} <= names


def test_curves_say_where_the_time_of_a_step_goes(undisturbed: JobResult) -> None:
    client = MlflowClient(tracking_uri(undisturbed.config))
    run_id = undisturbed.folder.record()["mlflow_run_id"]
    for part in ("data_seconds", "forward_seconds", "backward_seconds", "communication_seconds", "update_seconds",
                 "rows_per_second", "communicated_bytes"):  # fmt: skip
        points = client.get_metric_history(run_id, f"speed/{part}")
        assert len(points) == undisturbed.report.cost["steps"]
        assert all(point.value > 0 for point in points)


def test_an_audit_over_several_tasks_a_model_is_that_of_one_process(undisturbed: JobResult, tmp_path: Path) -> None:
    """Figures are those of this process, which predicts all rows itself, and so is the table of samples."""
    stored, before = undisturbed.config.store / "audits", set((undisturbed.config.store / "audits").iterdir())
    audits, reports = replace(undisturbed.config.audit, max_rows=700), []
    for tasks, local in ((3, False), (1, True)):
        plan = make_plan(replace(undisturbed.config, audit=replace(audits, tasks=tasks)))
        reports.append(audit(plan, undisturbed.folder.unlearned, tmp_path / f"{tasks}.parquet", local))
        for file in set(stored.iterdir()) - before:
            file.unlink()
    have, want = reports
    for one, other in zip(have.rows, want.rows, strict=True):
        assert (one.name, one.original, one.unlearned) == (other.name, *map(near, (other.original, other.unlearned)))
        assert one.oracles == near(other.oracles)
    samples, expected = (pq.read_table(tmp_path / f"{tasks}.parquet").to_pydict() for tasks in (3, 1))
    assert [samples[name] for name in ("role", "set", "sample_id", "predicted")] == [
        expected[name] for name in ("role", "set", "sample_id", "predicted")
    ]
    np.testing.assert_allclose(samples["loss"], expected["loss"], atol=1e-6)


def near(value: Any) -> Any:
    return pytest.approx(value, abs=1e-6)


def test_every_worker_logs_lines_of_json(undisturbed: JobResult) -> None:
    node = ray.nodes()[0]
    logs = Path(node["ObjectStoreSocketName"]).parents[1] / "logs"
    lines = [line for file in logs.glob("train/ray-train-app-worker-*") for line in file.read_text().splitlines()]
    records = [json.loads(line) for line in lines if line.startswith("{")]
    own = [record for record in records if record.get("run") == "undisturbed"]
    assert {record["rank"] for record in own} == {"0", "1"}
    last = [record for record in own if record["step"] == STEPS]
    assert all(record["rows_per_second"] > 0 and record["node_id"] == node["NodeID"] for record in last)
    assert len(last) == 2


@ray.remote
def _steps(seconds: float) -> None:
    speed = {"rows_per_second": 7.0, "data_seconds": 0.5, "communicated_bytes": 3.0, "gpu_memory_bytes": 5.0}
    StepMetrics("watched")(StepReport(3, 4, {"loss": 2.0, "stop_forget": 0.1}, speed))
    time.sleep(seconds)


def test_prometheus_finds_every_gauge_of_the_dashboard(session: None) -> None:
    running = _steps.remote(60)
    node = ray.nodes()[0]
    page = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    text = ""
    until = time.monotonic() + 50
    while "ray_cu_gpu_memory_bytes" not in text or "ray_node_disk_free" not in text:
        assert time.monotonic() < until, f"no gauges in:\n{text}"
        time.sleep(1)
        text = urllib.request.urlopen(page).read().decode()
    ray.cancel(running, force=True)
    found = {line.partition("{")[0] for line in text.splitlines()}
    dashboard = (Path(__file__).parents[2] / "infra" / "grafana" / "dashboard.json").read_text()
    asked = set(re.findall(r"ray_[a-z_]+", dashboard)) - {"ray_node_gpus_utilization"}  # there with a GPU only
    assert asked <= found
    assert {f"ray_{name}" for name in GAUGES} <= asked
    (value,) = [line for line in text.splitlines() if line.startswith("ray_cu_value") and 'name="loss"' in line
                and 'run="watched"' in line]  # fmt: skip
    assert value.endswith(" 2.0")


def test_the_registered_model_is_the_unlearned_one(undisturbed: JobResult) -> None:
    config = undisturbed.config
    mlflow.set_tracking_uri(tracking_uri(config))
    client = MlflowClient(tracking_uri(config))
    versions = {role: client.get_model_version_by_alias("digits-resnet10", role) for role in
                ("original", "oracle", "unlearned")}  # fmt: skip
    assert versions["unlearned"].tags["verdict"] == undisturbed.report.verdict.word
    loaded = mlflow.pytorch.load_model("models:/digits-resnet10@unlearned")
    reader = Workspace(config).reader
    images = reader.images("test", np.arange(5))
    ours = load_model(config, reader, undisturbed.folder.unlearned).eval()
    torch.testing.assert_close(loaded(images.float()), ours(images).logits, rtol=1e-4, atol=1e-4)


def test_a_registered_model_is_an_original_to_begin_from(
    undisturbed: JobResult, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(config))
    weights = replace(config.model, weights="models:/digits-resnet10@original")
    plan = make_plan(replace(config, model=weights))
    import_original(plan.workspace, plan.original.folder)
    ours = load_file(make_plan(config).original.folder / "model.safetensors")
    taken = load_file(plan.original.folder / "model.safetensors")
    assert ours.keys() == taken.keys()
    assert all(torch.equal(ours[n], taken[n]) for n in ours)


def test_a_second_run_finds_original_and_oracle(undisturbed: JobResult, config: RunConfig) -> None:
    assert make_plan(config).missing == []
    assert make_plan(replace(config, seed=1)).missing != []


def test_the_registered_model_can_be_served(undisturbed: JobResult) -> None:
    config = undisturbed.config
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/digits-resnet10@unlearned",
             "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]  # fmt: skip
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow calls uvicorn by name
    environment = os.environ | {"MLFLOW_TRACKING_URI": tracking_uri(config), "PATH": programs}
    server = subprocess.Popen(words, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        reader = Workspace(config).reader
        images = reader.images("test", np.arange(3)).float()
        answer = ask(f"http://127.0.0.1:{port}/invocations", {"inputs": images.tolist()})
        ours = load_model(config, reader, undisturbed.folder.unlearned).eval()(images).logits
        torch.testing.assert_close(torch.tensor(answer["predictions"]), ours.detach(), rtol=1e-4, atol=1e-4)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def ask(address: str, question: object) -> Any:
    """The server's answer; it takes some seconds to start."""
    request = urllib.request.Request(address, json.dumps(question).encode(), {"Content-Type": "application/json"})
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        except OSError:
            assert time.monotonic() < deadline, "the server did not start within two minutes"
            time.sleep(0.5)


def test_two_ray_workers_take_the_steps_of_one_process(undisturbed: JobResult, config: RunConfig) -> None:
    alone = run_job(replace(config, name="alone", workers=replace(config.workers, count=1)), local=True)
    client = MlflowClient(tracking_uri(config))
    for name in ("step/loss", "step/gradient_norm", "step/pull_loss"):
        two, one = (
            [m.value for m in client.get_metric_history(f.folder.record()["mlflow_run_id"], name)][:5]
            for f in (undisturbed, alone)
        )
        assert two == pytest.approx(one, rel=1e-5)


def kill_a_worker(folder: Path, killed: list[int], checkpoints: int = 2) -> None:
    """kill -9 one Ray Train worker once so many checkpoints of the run are there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not killed:
        time.sleep(0.02)
        if len(list((folder / "ray").glob("checkpoint_*"))) >= checkpoints:
            family = psutil.Process().children(recursive=True)
            for worker in [p for p in family if "RayTrainWorker" in title(p)][:1]:
                worker.kill()
                killed.append(worker.pid)


def test_a_killed_worker_changes_nothing(undisturbed: JobResult, config: RunConfig) -> None:
    killed: list[int] = []
    folder = config.store / "runs" / "killed"
    thread = threading.Thread(target=kill_a_worker, args=(folder, killed))
    thread.start()
    disturbed = run_job(replace(config, name="killed"))
    thread.join()
    assert killed, "no worker was found to kill before the run ended"
    want, have = weights_of(undisturbed), weights_of(disturbed)
    assert all(torch.equal(want[n], have[n]) for n in want)
    client = MlflowClient(tracking_uri(config))
    points = [m.step for m in client.get_metric_history(disturbed.folder.record()["mlflow_run_id"], "step/loss")]
    assert points == list(range(1, disturbed.report.cost["steps"] + 1))


def test_an_oracle_of_two_workers_survives_a_killed_one_and_is_that_of_one(session: None, config: RunConfig) -> None:
    """In float64 and of one epoch, since differences of rounding grow."""
    alone = replace(config, workers=replace(config.workers, precision="float64"), storage=f"{config.storage}/together")
    plan = make_plan(replace(alone, train=replace(alone.train, epochs=1)))
    run_train(plan.workspace, plan.config.store / "one", Hooks())
    together = replace(plan.config, train=replace(plan.config.train, workers=TrainWorkers(count=2)))
    killed: list[int] = []
    folder = plan.config.store / "training" / plan.oracles[0].folder.name
    thread = threading.Thread(target=kill_a_worker, args=(folder, killed, 0))
    thread.start()
    train_side_by_side([(plan.workspace.with_config(together), plan.oracles[0])])
    thread.join()
    assert killed, "no worker was found to kill before the training ended"
    want, have = (load_file(f / "model.safetensors") for f in (plan.config.store / "one", plan.oracles[0].folder))
    for name in want:
        torch.testing.assert_close(have[name], want[name], rtol=1e-6, atol=1e-8)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ({"count": 3}, "workers.count=3: the cluster has room for 2; CPUs of its 1 machine: 2"),
        ({"cpus": 3.0}, "1 worker of 3 CPUs: the cluster has room for 0"),
        ({"count": 2, "gpu": True}, "2 GPUs are needed, the cluster has 0"),
    ],
)
def test_workers_that_no_machine_holds(session: None, workers: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_room(WorkersConfig(**workers))


def test_where_machines_come_as_they_are_asked_for(session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_MOST_CPUS", "64")
    monkeypatch.setenv("CU_MOST_GPUS", "8")
    check_room(WorkersConfig(count=8, cpus=8, gpu=True))
    with pytest.raises(ConfigError, match="9 GPUs are needed, the cluster has 8"):
        check_room(WorkersConfig(count=9, gpu=True))
    with pytest.raises(ConfigError, match="9 workers of 8 CPUs"):
        check_room(WorkersConfig(count=9, cpus=8))


def test_the_step_is_measured_on_two_workers_that_share_the_weights(
    session: None, captions: Path, storage: Path, clip_file: Path
) -> None:
    config = small_clip(captions, storage, clip_file, workers={"count": 2, "shard": True})
    found = measure(config, 2, steps=2, cpus=2)
    assert (found.workers, found.threads, found.workers_per_cpu) == (2, 1, 1.0)
    assert found.rows_per_second > 0
    weights = sum(p.numel() for p in open_clip_towers(str(clip_file)).parameters_of("image"))
    assert found.bytes > 4 * weights  # each hands over its half twice, and all of the gradient
    assert found.peak_bytes > 0
    assert not list((storage / "bench").iterdir())
