"""``cu requests purge``: what in the storage still holds forgotten rows; tables, caches and checkpoints are removed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cu_core.data.requests import ForgetSet
from cu_core.errors import ConfigError
from cu_core.files import atomic_file, for_owner
from cu_core.storage import fetched, names, remove
from pipelines.requests.asked import found_set_of
from pipelines.requests.ledger import Entry
from pipelines.requests.places import Places
from pipelines.requests.state import State, state_of
from pipelines.requests.unentered import sweep_unentered

Action = Literal["rewrite", "delete", "keep"]
CACHES = {
    "audits": "cached answers of models on rows of requests; made again when needed",
    "texts": "cached texts of captions; made again when needed",
    "training": "checkpoints of originals and oracles",
}
NUMBERED = ("prompt", "search")
"""Sets of a table of audited samples whose ``sample_id`` is no row's."""


@dataclass(frozen=True)
class Holder:
    """One file or folder that holds rows, or may."""

    path: Path
    action: Action
    """What ``--remove`` does: take the rows out, delete it, or leave it."""
    why: str
    count: int | None = None
    """Rows of the request in it, where they can be counted."""


def holders(places: Places, state: State, name: str) -> list[Holder]:
    """Everything in the storage that holds rows of a request.

    Raises: ConfigError if the request is not done.
    """
    request = state.request(name)
    if request.word != "done":
        raise ConfigError(f"{name} is {request.word}; only what a request that is done has left is purged.")
    forget = found_set_of(places, state, name)
    asked = Holder(places.asked_file(request.received.fields["token"]), "keep", "the request as it was asked")
    parts = (_caches(places), _runs(places, state, name, forget), _mlflow(places, forget), _models(places))
    return [*itertools.chain(*parts), *_forget_sets(places, forget), asked]


def _caches(places: Places) -> Iterator[Holder]:
    for folder, why in CACHES.items():
        if names(places.store / folder):
            yield Holder(places.store / folder, "delete", why)


def _runs(places: Places, state: State, name: str, forget: ForgetSet) -> Iterator[Holder]:
    before = {version.folder for version in state.versions if name not in version.requests}
    for run in names(places.store / "runs"):
        folder = places.run(run)
        yield from _samples(folder, forget, "")
        if names(folder / "checkpoints"):
            done = fetched(folder / "result.json")
            why = "checkpoints of a run that is finished" if done else "the run goes on from these checkpoints"
            yield Holder(folder / "checkpoints", "delete" if done else "keep", why)
        if places.inside(folder / "unlearned") in before:
            yield Holder(folder / "unlearned", "keep", "a version before the request; roll-back and replay need it")


def _mlflow(places: Places, forget: ForgetSet) -> Iterator[Holder]:
    """Copies in the artifacts of the storage's own MLflow."""
    for path in sorted((places.store / "mlartifacts").rglob("samples.parquet")):
        yield from _samples(path.parent, forget, "MLflow's copy of a ")
    for path in sorted((places.store / "mlartifacts").rglob("forget.arrow")):
        if count := _listed(path, forget):
            yield Holder(path, "delete", "MLflow's copy of a forget set", count)


def _samples(folder: Path, forget: ForgetSet, copy: str) -> Iterator[Holder]:
    """A table of audited samples, and the report that shows them."""
    table, report = folder / "samples.parquet", folder / "report.html"
    if fetched(table) and (count := _count(table, forget)):
        yield Holder(table, "rewrite", f"{copy}table of audited samples", count)
        if fetched(report):
            yield Holder(report, "delete", f"{copy}report that shows audited samples; audit.json stays")


def _forget_sets(places: Places, forget: ForgetSet) -> Iterator[Holder]:
    """The request's own set, and those of batches and unions."""
    for digest in names(places.store / "requests"):
        path = places.forget_file(digest)
        if fetched(path) and (count := _listed(path, forget)):
            yield Holder(path, "keep", "names the rows, so that no set contains them again", count)


def _listed(path: Path, forget: ForgetSet) -> int:
    """Rows of the request that a forget set's file names."""
    ids = pa.ipc.open_file(str(path)).read_all()["sample_id"].to_numpy()
    return int(np.isin(ids, forget.sample_ids).sum())


def _models(places: Places) -> Iterator[Holder]:
    for key in names(places.store / "models"):
        why = "an original, oracle or model of a pool; it may have been trained with the rows"
        yield Holder(places.store / "models" / key, "keep", why)


def _count(table: Path, forget: ForgetSet) -> int:
    ids = pq.read_table(table, columns=["sample_id", "set"])
    ours = ids.filter(~pc.field("set").isin(NUMBERED))["sample_id"].to_numpy()
    return int(np.isin(ours, forget.sample_ids).sum())


def purge(places: Places, name: str) -> Entry:
    """Do what ``holders`` lists, and enter it."""
    sweep_unentered(places)
    state = state_of(places.ledger.read())
    found = holders(places, state, name)
    forget = found_set_of(places, state, name)
    if state.started is not None:
        raise ConfigError(f"{state.started.fields['run']} is under way or was interrupted; finish or cancel it first.")
    for holder in found:
        if holder.action == "rewrite":
            _take_out(holder.path, forget)
        elif holder.action == "delete":
            remove(holder.path)
    said = {action: [places.inside(h.path) for h in found if h.action == action] for action in ("rewrite", "delete")}
    fields: Mapping[str, Any] = {
        "kind": "purged", "request": name, "rewritten": said["rewrite"], "deleted": said["delete"],
        "kept": sum(holder.action == "keep" for holder in found),
    }  # fmt: skip
    entry = places.ledger.append(lambda entries: fields)
    assert entry is not None
    return entry


def _take_out(path: Path, forget: ForgetSet) -> None:
    table = pq.read_table(path)
    gone = pc.is_in(table["sample_id"], value_set=pa.array(forget.sample_ids))
    kept = table.filter(pc.or_(pc.invert(gone), pc.equal(table["set"], "prompt")))
    kept = kept.filter(pc.field("set") != "search")  # their pictures and captions are of any row
    with atomic_file(path) as partial:
        pq.write_table(kept, for_owner(partial))


def purge_lines(places: Places, found: Sequence[Holder]) -> list[str]:
    """One line for each holder."""
    verbs = {"rewrite": "take out", "delete": "delete", "keep": "keep"}
    return [
        f"{verbs[h.action]:8} {places.inside(h.path)}: {h.why}{f' ({h.count} rows)' if h.count else ''}" for h in found
    ]
