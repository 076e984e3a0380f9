"""Deletion requests that a job answers on three machines; data, ledger and models lie in an object store."""

from __future__ import annotations

import json

import pytest

from tests.soak.cluster import Cluster

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

STORAGE = ("--storage", "s3://unlearning/outputs")
SETTINGS = (
    "data.path=s3://unlearning/data/digits", "storage=s3://unlearning/outputs", "train.epochs=4", "model.width=8",
    "workers.count=3", "workers.placement=SPREAD", "audit.oracles=1", "audit.audits=[accuracy, membership]",
)  # fmt: skip


def test_a_job_answers_a_batch(cluster: Cluster, packed: None) -> None:
    def cu(*words: str, storage: bool = True) -> str:
        status, printed = cluster.cu("requests", *words, *(STORAGE if storage else ()))
        assert status == 0, printed
        return " ".join(printed.split())

    def read(path: str) -> str:
        here = cluster.folder / "read"
        assert cluster.python(f"from pyarrow import fs; fs.copy_files('s3://unlearning/outputs/{path}', '{here}')") == 0
        return here.read_text()

    where = (*SETTINGS, f"tracking.uri={cluster.mlflow}")
    cu("open", "faces", "tune_configs/base/digits_class.yaml", *where, storage=False)
    cu("add", "faces", "--class", "5")
    cu("add", "faces", "--where", "sample_id < 60")
    for number, names in ((5, ["faces-1", "faces-2"]), (8, ["faces-3"])):
        status, printed = cluster.submit("requests", "run")
        assert status == 0, printed
        entry = json.loads(read(f"ledgers/faces/{number:08d}.json"))
        assert (entry["kind"], entry["requests"], entry["violations"]) == ("completed", names, 0)
        for name in names:
            cu("certificate", name)
            assert "differs" not in cu("verify", f"s3://unlearning/outputs/certificates/{name}.json")
        if names != ["faces-3"]:
            cu("add", "faces", "--class", "6")
    status, printed = cluster.submit(
        "requests", "verify", "s3://unlearning/outputs/certificates/faces-3.json", "--replay"
    )
    assert status == 0, printed
    assert "replay: the same weights, bit for bit" in " ".join(printed.split())
