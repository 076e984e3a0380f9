"""kill -9 of a worker that trains an oracle together with another machine's, and of one that audits.

SOAK_TIMES=5 repeats each.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.soak.cluster import PROGRAMS, Cluster
from tests.soak.test_faults import TIMES, find, outside, workers
from tests.soak.test_jobs import CONFIG

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]
TOGETHER = ("train.workers={count: 2, placement: SPREAD}", "train.epochs=40", "audit.oracles=1")
AUDITED = (
    "train.epochs=2", "stop.rule=none", "stop.max_steps=20", "audit.tasks=2", "audit.oracles=1",
    "audit.rebound_steps=30", "audit.relearn_steps=30",
)  # fmt: skip


def submit(cluster: Cluster, storage: str, words: Sequence[str]) -> subprocess.Popen[str]:
    more = [f"storage=s3://unlearning/{storage}", f"tracking.uri={cluster.mlflow}"]
    where = ["--address", f"http://{cluster.head}:8265", "--root", "s3://unlearning"]
    return cluster.start(1, str(PROGRAMS / "cu"), "submit", *where, "--", *words, *more, log=f"{storage}.log")


def said(cluster: Cluster, storage: str) -> str:
    return (cluster.folder / f"{storage}.log").read_text()


def fetch(cluster: Cluster, address: str) -> Path:
    here = cluster.folder / address.replace("/", "-")
    code = f"from pyarrow import fs; fs.copy_files('s3://unlearning/{address}', '{here}')"
    assert cluster.python(code) == 0, (cluster.folder / "python.log").read_text()[-2000:]
    return here


def models(cluster: Cluster, storage: str) -> dict[str, dict[str, torch.Tensor]]:
    """The original and the oracle, by their keys."""
    here = fetch(cluster, f"{storage}/models")
    return {path.parent.name: load_file(path) for path in here.glob("*/model.safetensors")}


@pytest.mark.parametrize("number", TIMES)
def test_an_oracle_outlives_one_of_its_workers(cluster: Cluster, packed: None, number: int) -> None:
    for storage in ("oracle-quiet", f"oracle-killed-{number}"):
        assert submit(cluster, storage, ["train", CONFIG, *TOGETHER]).wait() == 0, said(cluster, storage)
        job = submit(cluster, storage, ["train", CONFIG, "--oracles", *TOGETHER])
        if storage != "oracle-quiet":
            while not workers(cluster):
                assert job.poll() is None, said(cluster, storage)
                time.sleep(0.5)
            time.sleep(10)  # it trains
            host = outside(cluster)
            next(process for at, process in workers(cluster) if at == host).kill()
        assert job.wait() == 0, said(cluster, storage)
        assert "1 to train: train oracle" in said(cluster, storage)
    want, have = models(cluster, "oracle-quiet"), models(cluster, f"oracle-killed-{number}")
    assert want.keys() == have.keys()
    assert len(want) == 2
    for key, weights in want.items():
        assert all(torch.equal(have[key][name], value) for name, value in weights.items()), key


@pytest.mark.parametrize("number", TIMES)
def test_an_audit_outlives_one_of_its_workers(cluster: Cluster, packed: None, number: int) -> None:
    figures = {}
    for storage in ("audit-quiet", f"audit-killed-{number}"):
        job = submit(cluster, storage, ["unlearn", CONFIG, "name=run", *AUDITED])
        if storage != "audit-quiet":
            hosts, tasks = range(1, cluster.hosts.count + 1), ("ray::_predict_task", "ray::_measure_task")
            while not (at_work := [process for host in hosts for process in find(cluster, host, *tasks)]):
                assert job.poll() is None, said(cluster, storage)
                time.sleep(0.1)
            at_work[0].kill()
        assert job.wait() == 0, said(cluster, storage)
        figures[storage] = json.loads(fetch(cluster, f"{storage}/runs/run/audit.json").read_text())["rows"]
    quiet, other = figures.values()
    assert quiet == other
