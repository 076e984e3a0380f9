"""Jobs on a cluster of three machines: nothing is shared but an object store."""

from __future__ import annotations

import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.soak.cluster import Cluster

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

CONFIG = "tune_configs/base/digits_class.yaml"
AUDIT = ("audit.oracles=1", "audit.rebound_steps=3", "audit.relearn_steps=2")
SMALL = ("workers.precision=float64", *AUDIT)
DATA = {
    "digits": ("data.path=data/digits", "train.epochs=4"),
    "fashion": ("data.path=data/fashion", "train.epochs=0.5", "model.width=8", "audit.max_rows=200"),
}


@pytest.fixture(scope="module", params=DATA)
def local(
    request: pytest.FixtureRequest, cluster: Cluster, packed: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, torch.Tensor]]:
    """The same run in one process, from the same data."""
    storage, name = tmp_path_factory.mktemp("local"), str(request.param)
    (path, *more) = DATA[name]
    words = [path.replace("=", "=s3://unlearning/"), f"storage={storage}", "name=local", *more, *SMALL]
    status, printed = cluster.cu("unlearn", CONFIG, "--local", *words)
    assert status == 0, printed
    return name, load_file(storage / "runs" / "local" / "unlearned" / "model.safetensors")


@pytest.mark.parametrize("workers", [2, 3])
def test_a_job_gives_what_a_local_run_gives(
    cluster: Cluster, local: tuple[str, dict[str, torch.Tensor]], workers: int
) -> None:
    data, want = local
    name = f"{data}{workers}"
    where = [f"workers.count={workers}", "workers.placement=SPREAD", f"tracking.uri={cluster.mlflow}"]
    status, printed = cluster.submit("unlearn", CONFIG, f"name={name}", *where, *DATA[data], *SMALL)
    assert status == 0, printed
    here = cluster.folder / f"{name}.safetensors"
    address = f"s3://unlearning/outputs/runs/{name}/unlearned/model.safetensors"
    assert cluster.python(f"from pyarrow import fs; fs.copy_files('{address}', '{here}')") == 0
    weights = load_file(here)
    assert weights.keys() == want.keys()
    for key, value in want.items():
        assert torch.allclose(weights[key].double(), value.double(), atol=1e-8, rtol=0), key


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
time.sleep(600)
"""


def test_a_head_that_computes_nothing(cluster: Cluster, packed: None) -> None:
    """As on the clusters of infra/: what other machines made, the report is drawn from on the head."""
    holder = cluster.start(1, sys.executable, "-c", HOLD, f"{cluster.head}:6379", log="held.log")
    while "held" not in (cluster.folder / "held.log").read_text():
        assert holder.poll() is None, (cluster.folder / "held.log").read_text()
        time.sleep(0.5)
    try:
        where = ["workers.count=2", f"tracking.uri={cluster.mlflow}"]
        status, printed = cluster.submit("unlearn", CONFIG, "name=headless", *where, *DATA["digits"], *SMALL)
        assert status == 0, printed
        status, printed = cluster.submit(
            "audit", "headless", "--out", "audits/headless", f"tracking.uri={cluster.mlflow}"
        )
        assert status == 0, printed
    finally:
        holder.kill()
    for file in ("outputs/runs/headless/report.html", "audits/headless/report.html", "audits/headless/samples.parquet"):
        there = f"from pyarrow import fs; assert fs.FileSystem.from_uri('s3://unlearning/{file}')[0]" \
                f".get_file_info('unlearning/{file}').is_file"  # fmt: skip
        assert cluster.python(there) == 0, file


def test_a_folder_that_is_not_shared_is_refused(cluster: Cluster, packed: None) -> None:
    status, printed = cluster.submit(
        "unlearn", CONFIG, "data.path=s3://unlearning/data/digits", "storage=/tmp/ray/mine", *SMALL,
        f"tracking.uri={cluster.mlflow}",
    )  # fmt: skip
    assert status == 2
    assert "is not shared" in printed
    assert "Traceback" not in printed


def test_a_mistake_is_said_before_anything_is_sent(cluster: Cluster) -> None:
    status, printed = cluster.submit("unlearn", CONFIG, "method.temprature=1")
    assert status == 2
    assert "did you mean method.temperature" in printed
    assert "job " not in printed
