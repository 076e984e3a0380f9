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
from pipelines.console import counted
from pipelines.requests.asked import found_set_of
from pipelines.requests.ledger import Entry
from pipelines.requests.places import Places
from pipelines.requests.state import State, state_of
from pipelines.requests.trained import listed, trained_with
from pipelines.requests.unentered import sweep_unentered

Action = Literal["rewrite", "delete", "keep"]
CACHES = {
    "audits": "cached answers of models on rows of requests; made again when needed",
    "texts": "cached texts of captions; made again when needed",
    "training": "checkpoints of originals and oracles",
}
WORKS = {
    "cells": "unlearned models and figures of comparisons and sweeps; they may be of models trained with the rows",
    "compare": "tables and pages of comparisons; they may be of models trained with the rows",
    "sweeps": "tables and pages of sweeps; they may be of models trained with the rows",
    "chain": "models and ledgers of `cu bench chain`; they may have been made with the rows",
    "downloads": "weights that were fetched from MLflow; they may have been trained with the rows",
}
"""Folders that are named as a whole, and kept."""
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
    models = (Holder(path, "keep", why) for path, why in trained_with(places, state, name, forget))
    parts = (_caches(places), _scores(places, forget), _runs(places, forget), _mlflow(places, forget), models)
    return [*itertools.chain(*parts), *_works(places), *_forget_sets(places, forget), asked]


def _caches(places: Places) -> Iterator[Holder]:
    for folder, why in CACHES.items():
        if names(places.store / folder):
            yield Holder(places.store / folder, "delete", why)
    for member in names(places.store / "pool"):
        of_member = places.store / "pool" / member
        for base in names(of_member):
            if base != "unlearned":
                yield Holder(of_member / base, "delete", "margins of rows of a request; made again when needed")


def _scores(places: Places, forget: ForgetSet) -> Iterator[Holder]:
    """Tables of ``cu score``."""
    for name in names(places.store / "scores"):
        table = places.store / "scores" / name
        if table.suffix == ".parquet" and fetched(table) and (count := _count(table, forget)):
            yield Holder(table, "rewrite", "memorisation and confidences of training rows", count)


def _works(places: Places) -> Iterator[Holder]:
    for folder, why in WORKS.items():
        if names(places.store / folder):
            yield Holder(places.store / folder, "keep", why)
    for member in names(places.store / "pool"):
        why = "an unlearned model of a pool; it may have been made from one trained with the rows"
        yield Holder(places.store / "pool" / member, "keep", why)


def _runs(places: Places, forget: ForgetSet) -> Iterator[Holder]:
    for run in names(places.store / "runs"):
        folder = places.run(run)
        yield from _samples(folder, forget, "")
        if names(folder / "checkpoints"):
            done = fetched(folder / "result.json")
            why = "checkpoints of a run that is finished" if done else "the run goes on from these checkpoints"
            yield Holder(folder / "checkpoints", "delete" if done else "keep", why)


def _mlflow(places: Places, forget: ForgetSet) -> Iterator[Holder]:
    """Copies in the artifacts of the storage's own MLflow."""
    for path in sorted((places.store / "mlartifacts").rglob("samples.parquet")):
        yield from _samples(path.parent, forget, "MLflow's copy of a ")
    for path in sorted((places.store / "mlartifacts").rglob("forget.arrow")):
        if count := listed(path, forget):
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
        if fetched(path) and (count := listed(path, forget)):
            yield Holder(path, "keep", "names the rows, so that no set contains them again", count)


def _count(table: Path, forget: ForgetSet) -> int:
    """Rows of the request in a table; the one of audited samples has others too."""
    columns = [name for name in ("sample_id", "set") if name in pq.read_schema(table).names]
    ids = pq.read_table(table, columns=columns)
    if "set" in columns:
        ids = ids.filter(~pc.field("set").isin(NUMBERED))
    ours = ids["sample_id"].to_numpy()
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
    if "set" in table.column_names:
        kept = table.filter(pc.or_(pc.invert(gone), pc.equal(table["set"], "prompt")))
        kept = kept.filter(pc.field("set") != "search")  # their pictures and captions are of any row
    else:
        kept = table.filter(pc.invert(gone))
    with atomic_file(path) as partial:
        pq.write_table(kept, for_owner(partial))


def purge_lines(places: Places, found: Sequence[Holder]) -> list[str]:
    """One line for each holder."""
    verbs = {"rewrite": "take out", "delete": "delete", "keep": "keep"}
    lines = [f"{verbs[h.action]:8} {places.inside(h.path)}: {h.why}" for h in found]
    counts = [f" ({counted(h.count, 'row')})" if h.count else "" for h in found]
    return [line + count for line, count in zip(lines, counts, strict=True)]
