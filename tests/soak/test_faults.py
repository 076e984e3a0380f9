"""Faults of a cluster, one at a time, in the middle of a run: it ends as if nothing had happened.

SOAK_TIMES=5 repeats each fault.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

from tests.soak.cluster import PROGRAMS, Cluster
from tests.soak.test_jobs import AUDIT, CONFIG, packed  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]
STEPS = 400
LONG = (
    "train.epochs=2",
    "workers.count=2",
    "workers.checkpoint_every=50",
    "batches={forget_batch: 16, retain_batch: 16}",
    f"stop={{max_steps: {STEPS}, check_every: 200, further_steps: {STEPS}, utility_points: 100}}",
    *AUDIT,
)


def start(cluster: Cluster, name: str) -> subprocess.Popen[str]:
    words = [f"name={name}", f"tracking.uri={cluster.mlflow}", *LONG]
    address = ["--address", f"http://{cluster.head}:8265", "--root", "s3://unlearning"]
    return cluster.start(
        1, str(PROGRAMS / "cu"), "submit", *address, "--", "unlearn", CONFIG, *words, log=f"{name}.log"
    )


def weights_of(cluster: Cluster, name: str) -> dict[str, torch.Tensor]:
    here = cluster.folder / f"{name}.safetensors"
    address = f"s3://unlearning/outputs/runs/{name}/unlearned/model.safetensors"
    assert cluster.python(f"from pyarrow import fs; fs.copy_files('{address}', '{here}')") == 0
    return load_file(here)


@pytest.fixture(scope="module")
def quiet(cluster: Cluster, packed: None) -> dict[str, torch.Tensor]:  # noqa: F811
    assert start(cluster, "quiet").wait() == 0, (cluster.folder / "quiet.log").read_text()[-3000:]
    return weights_of(cluster, "quiet")


def find(cluster: Cluster, host: int, title: str) -> list[psutil.Process]:
    found = []
    for pid in cluster.hosts.processes(host):
        try:
            process = psutil.Process(pid)
            if title in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def workers(cluster: Cluster) -> list[tuple[int, psutil.Process]]:
    return [(h, p) for h in range(1, cluster.hosts.count + 1) for p in find(cluster, h, "ray::RayTrainWorker")]


def kill_a_worker(cluster: Cluster) -> None:
    workers(cluster)[0][1].kill()


def kill_a_machine(cluster: Cluster) -> None:
    """Never the head's, which holds the driver."""
    host = next((h for h, _ in workers(cluster) if h > 1), 3)
    cluster.hosts.kill(host)
    cluster.join(host)


def kill_mlflow(cluster: Cluster) -> None:
    for process in find(cluster, 1, "mlflow"):
        if "server" in " ".join(process.cmdline()):
            process.kill()
    time.sleep(10)
    cluster.serve_mlflow()


FAULTS: list[Callable[[Cluster], None]] = [kill_a_worker, kill_a_machine, kill_mlflow]


@pytest.mark.parametrize("number", range(int(os.environ.get("SOAK_TIMES", "1"))))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_survives(
    cluster: Cluster, quiet: dict[str, torch.Tensor], fault: Callable[[Cluster], None], number: int
) -> None:
    name = f"{fault.__name__}_{number}"
    job = start(cluster, name)
    listed = f"fs.FileSelector('unlearning/outputs/runs/{name}/ray', allow_not_found=True)"
    cluster.wait(
        f"from pyarrow import fs; s3 = fs.FileSystem.from_uri('s3://unlearning')[0]; "
        f"assert any('checkpoint' in f.base_name for f in s3.get_file_info({listed}))"
    )
    fault(cluster)
    log = Path(cluster.folder) / f"{name}.log"
    assert job.wait() == 0, log.read_text()[-3000:]
    for key, value in weights_of(cluster, name).items():
        assert torch.equal(value, quiet[key]), key
    client = MlflowClient(f"sqlite:///{cluster.folder}/m.db")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    assert run.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(run.info.run_id, "step/loss")] == list(range(1, STEPS + 1))
