from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.errors import ConfigError
from pipelines.requests.asked import forget_set_of
from pipelines.requests.intake import add_request
from pipelines.requests.purge import holders, purge, purge_lines
from pipelines.requests.verify import verify
from tests.unit.pipelines.requests.answered import now
from tests.unit.pipelines.requests.conftest import Answered


def planted(answered: Answered) -> tuple[np.ndarray, list[str]]:
    """Rows of the first request in every place that is known."""
    ids = forget_set_of(answered.places, now(answered.places), "faces-1").sample_ids
    store = answered.store
    sets = ["forget"] * 3 + ["test", "prompt", "search"]
    table = pa.table({"sample_id": [*ids[:3].tolist(), 10**9, 5, 5], "set": sets})
    for folder in (store / "runs" / "faces-run-3", store / "mlartifacts" / "1" / "artifacts"):
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "samples.parquet")
        (folder / "report.html").write_text("pictures")
    listed = pa.table({"sample_id": ids, "row": ids})
    with pa.ipc.new_file(str(store / "mlartifacts" / "1" / "artifacts" / "forget.arrow"), listed.schema) as out:
        out.write_table(listed)
    for cache in ("audits", "texts", "runs/faces-run-6/checkpoints/step-1"):
        (store / cache).mkdir(parents=True)
        (store / cache / "a.npz").write_bytes(b"x")
    return ids, ["runs/faces-run-3/samples.parquet", "mlartifacts/1/artifacts/samples.parquet"]


def test_everything_that_holds_rows_is_listed_and_nothing_changes(answered: Answered) -> None:
    planted(answered)
    found = holders(answered.places, now(answered.places), "faces-1")
    lines = "\n".join(purge_lines(answered.places, found))
    for line in (
        "take out runs/faces-run-3/samples.parquet: table of audited samples (3 rows)",
        "take out mlartifacts/1/artifacts/samples.parquet",
        "delete   runs/faces-run-3/report.html: report that shows audited samples",
        "delete   mlartifacts/1/artifacts/report.html: MLflow's copy of a report that shows audited samples",
        "delete   mlartifacts/1/artifacts/forget.arrow",
        "delete   audits: ", "delete   texts: ", "delete   runs/faces-run-6/checkpoints: ", "keep     models/",
        "keep     requests/", "keep     intake/",
    ):  # fmt: skip
        assert line in lines
    assert (answered.store / "audits" / "a.npz").exists()


def test_what_can_be_removed_is_removed_and_entered(answered: Answered) -> None:
    ids, tables = planted(answered)
    entry = purge(answered.places, "faces-1")
    assert sorted(entry.fields["rewritten"]) == sorted(tables)
    assert sorted(entry.fields["deleted"]) == [
        "audits", "mlartifacts/1/artifacts/forget.arrow", "mlartifacts/1/artifacts/report.html",
        "runs/faces-run-3/report.html", "runs/faces-run-6/checkpoints", "texts",
    ]  # fmt: skip
    for table in tables:
        assert pq.read_table(answered.store / table)["sample_id"].to_pylist() == [10**9, 5]
    for gone in entry.fields["deleted"]:
        assert not (answered.store / gone).exists()
    assert {h.action for h in holders(answered.places, now(answered.places), "faces-1")} == {"keep"}
    assert verify(answered.certificate, answered.store, answered.key).problems == []
    assert len(ids) == len(forget_set_of(answered.places, now(answered.places), "faces-1").rows)


def test_versions_before_the_request_are_kept_for_roll_back(answered: Answered) -> None:
    found = holders(answered.places, now(answered.places), "faces-2")
    kept = [h.path for h in found if "a version before the request" in h.why]
    assert kept == [answered.store / "runs" / "faces-run-3" / "unlearned"]


def test_checkpoints_of_a_run_that_goes_on_are_kept(answered: Answered) -> None:
    planted(answered)
    (answered.store / "runs" / "faces-run-6" / "result.json").unlink()
    found = holders(answered.places, now(answered.places), "faces-1")
    (checkpoints,) = [h for h in found if h.path.name == "checkpoints"]
    assert checkpoints.action == "keep"


def test_only_what_is_done_is_purged(answered: Answered) -> None:
    add_request(answered.places, {"kind": "by_class", "classes": [6]})
    with pytest.raises(ConfigError, match="faces-3 is pending; only what a request that is done has left is purged"):
        purge(answered.places, "faces-3")


def test_scores_margins_and_works_are_listed_and_scores_lose_the_rows(answered: Answered) -> None:
    ids = forget_set_of(answered.places, now(answered.places), "faces-1").sample_ids
    scores = answered.store / "scores" / "a.parquet"
    scores.parent.mkdir()
    pq.write_table(pa.table({"sample_id": [*ids[:2].tolist(), 10**9], "memorisation": [0.1, 0.2, 0.3]}), scores)
    for file in ("pool/a/unlearned/meta.json", "pool/a/b/original.npz", "cells/a/audit-b.json", "compare/x.html"):
        (answered.store / file).parent.mkdir(parents=True)
        (answered.store / file).write_text("{}")
    lines = "\n".join(purge_lines(answered.places, holders(answered.places, now(answered.places), "faces-1")))
    for line in (
        "take out scores/a.parquet: memorisation and confidences of training rows (2 rows)",
        "delete   pool/a/b: margins of rows",
        "keep     pool/a: an unlearned model of a pool",
        "keep     cells: ",
        "keep     compare: ",
    ):
        assert line in lines
    purge(answered.places, "faces-1")
    assert pq.read_table(scores)["sample_id"].to_pylist() == [10**9]
    assert not (answered.store / "pool" / "a" / "b").exists()
    assert (answered.store / "pool" / "a" / "unlearned" / "meta.json").exists()
