"""Jobs on a cluster of three machines: nothing is shared but an object store."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.soak.cluster import Cluster

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

CONFIG = "tune_configs/base/digits_class.yaml"
AUDIT = ("audit.oracles=1", "audit.rebound_steps=3", "audit.relearn_steps=2")
SMALL = ("train.epochs=4", "workers.precision=float64", *AUDIT)


@pytest.fixture(scope="module")
def packed(cluster: Cluster) -> None:
    status, printed = cluster.cu("data", "pack", "digits", "s3://unlearning/data/digits", "--val-frac", "0.2")
    assert status == 0, printed


@pytest.fixture(scope="module")
def local(cluster: Cluster, packed: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The same run in one process, from the same data."""
    storage = tmp_path_factory.mktemp("local")
    words = ["data.path=s3://unlearning/data/digits", f"storage={storage}", "name=local", *SMALL]
    status, printed = cluster.cu("unlearn", CONFIG, "--local", *words)
    assert status == 0, printed
    return load_file(storage / "runs" / "local" / "unlearned" / "model.safetensors")


@pytest.mark.parametrize("workers", [2, 3])
def test_a_job_gives_what_a_local_run_gives(cluster: Cluster, local: dict[str, torch.Tensor], workers: int) -> None:
    name = f"job{workers}"
    words = [f"name={name}", f"workers.count={workers}", f"tracking.uri={cluster.mlflow}", *SMALL]
    status, printed = cluster.submit("unlearn", CONFIG, *words)
    assert status == 0, printed
    here = cluster.folder / f"{name}.safetensors"
    address = f"s3://unlearning/outputs/runs/{name}/unlearned/model.safetensors"
    assert cluster.python(f"from pyarrow import fs; fs.copy_files('{address}', '{here}')") == 0
    weights = load_file(here)
    assert weights.keys() == local.keys()
    for key, value in local.items():
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
