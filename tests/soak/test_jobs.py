"""Jobs on a cluster of three machines: nothing is shared but an object store."""

from __future__ import annotations

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
