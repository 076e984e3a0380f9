"""Jobs on a cluster whose head computes nothing, as on those of infra/: it goes on with what other machines made."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator

import pytest

from tests.soak.cluster import Cluster
from tests.soak.test_faults import find
from tests.soak.test_jobs import CONFIG, DATA, SMALL

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

HOLD = """
import ray, sys, time
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(address=sys.argv[1], logging_level="ERROR")
(head,) = [n["NodeID"] for n in ray.nodes() if n["NodeManagerAddress"] == sys.argv[1].split(":")[0]]
@ray.remote(num_cpus=2)
class Held:
    def yes(self):
        return True
held = Held.options(scheduling_strategy=On(head, soft=False)).remote()
ray.get(held.yes.remote())
print("held", flush=True)
time.sleep(3600)
"""


@pytest.fixture(scope="module")
def headless(cluster: Cluster, packed: None) -> Iterator[Cluster]:
    holder = cluster.start(1, sys.executable, "-c", HOLD, f"{cluster.head}:6379", log="held.log")
    while "held" not in (cluster.folder / "held.log").read_text():
        assert holder.poll() is None, (cluster.folder / "held.log").read_text()
        time.sleep(0.5)
    yield cluster
    holder.kill()


def run(cluster: Cluster, *words: str) -> str:
    status, printed = cluster.submit(*words)
    assert status == 0, printed
    return printed


def in_store(cluster: Cluster, *files: str) -> None:
    for file in files:
        there = f"from pyarrow import fs; assert fs.FileSystem.from_uri('s3://unlearning/{file}')[0]" \
                f".get_file_info('unlearning/{file}').is_file"  # fmt: skip
        assert cluster.python(there) == 0, file


def test_a_run_and_an_audit_of_it(headless: Cluster) -> None:
    where = f"tracking.uri={headless.mlflow}"
    run(headless, "unlearn", CONFIG, "name=headless", "workers.count=2", where, *DATA["digits"], *SMALL)
    run(headless, "audit", "headless", "--out", "audits/headless", where)
    in_store(headless, "outputs/runs/headless/report.html", "audits/headless/report.html")
    in_store(headless, "audits/headless/samples.parquet")


def test_scores_and_a_request_by_them(headless: Cluster) -> None:
    settings = [f"tracking.uri={headless.mlflow}", *DATA["digits"], *SMALL]
    run(headless, "score", CONFIG, "--out", "scores/digits.parquet", *settings)
    request = "request={kind: by_score, count: 40, path: scores/digits.parquet}"
    run(headless, "unlearn", CONFIG, "name=scored", "stop.max_steps=20", *settings, request)
    in_store(headless, "scores/digits.parquet", "outputs/runs/scored/report.html")


def test_a_comparison_by_scores(headless: Cluster) -> None:
    changes = [f"set.tracking.uri={headless.mlflow}", "set.train.epochs=2", "set.audit.rebound_steps=3", "seeds=[0]"]
    mine = "methods.mine={set: {method: {name: finetune}}}"
    scored = "requests.class=[{kind: by_score, count: 40}]"
    compare = ["compare", "tune_configs/compare/digits.yaml", "--methods", "mine", "--out", "tables/scored.md"]
    run(headless, *compare, "tuning=null", "budget_rows=640", mine, scored, *changes)
    in_store(headless, "tables/scored.md")


def test_a_sweep_without_oracles_and_a_run_of_its_winner(headless: Cluster) -> None:
    changes = [f"set.tracking.uri={headless.mlflow}", "set.train.epochs=2", "set.stop.max_steps=24", "trials=2"]
    proxy = ["objective=proxy", "scheduler=none", "set.audit.oracles=0", "reported.seeds=[0]"]
    printed = run(headless, "sweep", "tune_configs/sweeps/digits_class.yaml", *changes, *proxy)
    winner = "s3://unlearning/outputs/sweeps/digits_class/winner.yaml"
    assert f"winner  cu unlearn {winner}" in printed
    in_store(
        headless, *(f"outputs/sweeps/digits_class/{name}" for name in ("winner.yaml", "report.html", "trials.csv"))
    )
    run(headless, "unlearn", winner, "name=winner")
    in_store(headless, "outputs/runs/winner/report.html")


def test_a_run_of_one_worker_goes_on_on_another_machine(headless: Cluster) -> None:
    """Stopped with notice, and its machine gone afterwards."""
    words = ["unlearn", CONFIG, "name=one", f"tracking.uri={headless.mlflow}", *DATA["digits"], *SMALL]
    words += ["stop={rule: none, max_steps: 400}", "batches={forget_batch: 16, retain_batch: 16}"]
    where = ["--address", f"http://{headless.head}:8265", "--root", "s3://unlearning", "--name", "one"]
    job = headless.start(1, f"{sys.executable.rsplit('/', 1)[0]}/cu", "submit", *where, "--", *words, log="one.log")
    while not (there := [h for h in range(1, headless.hosts.count + 1) if find(headless, h, "ray::_unlearn_task")]):
        assert job.poll() is None, (headless.folder / "one.log").read_text()
        time.sleep(0.5)
    time.sleep(3)
    status, printed = headless.cu("stop", "one", "--address", f"http://{headless.head}:8265")
    assert status == 0, printed
    assert job.wait() != 0
    assert "a checkpoint was taken" in (headless.folder / "one.log").read_text()
    headless.hosts.kill(there[0])
    try:
        printed = run(headless, *words, "--resume", "one")
    finally:
        headless.join(there[0])
    (step,) = re.findall(r"goes on after step (\d+)", printed)
    assert 0 < int(step) < 400
    in_store(headless, "outputs/runs/one/report.html")
