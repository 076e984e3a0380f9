"""A batch of requests as two plans: what unlearns the new rows, and what audits all that was forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.data.requests import ForgetSet, save_forget_set
from cu_core.errors import ConfigError
from cu_core.storage import shown
from cu_core.workspace import Workspace
from pipelines.cluster.session import ray_session
from pipelines.requests.asked import forget_set_of, union_of, without
from pipelines.requests.data_versions import open_data, told_drops
from pipelines.requests.opened import config_for, written_settings
from pipelines.requests.places import Places
from pipelines.requests.state import State
from pipelines.run.plan import Plan, TrainJob, plan_of
from pipelines.run.training import train_missing

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Batch:
    """The rows of a batch."""

    new: ForgetSet
    """Rows that the current version has not forgotten; ``before``: all others that were ever forgotten."""
    union: ForgetSet
    """Rows that the new version will have forgotten."""


def batch_of(places: Places, state: State, names: Sequence[str]) -> Batch | None:
    """The rows of some requests; ``None`` if every one of them is forgotten already."""

    def sets(requests: Sequence[str]) -> list[ForgetSet]:
        return [forget_set_of(places, state, name) for name in requests]

    asked = union_of(sets(names))
    assert asked is not None
    forgotten, ever = union_of(sets(state.forgotten)), union_of(sets(state.ever))
    new = without(asked, forgotten)
    if not len(new.rows):
        return None
    before = None if ever is None else _as_before(without(ever, new), sets(state.ever), new.classes)
    union = union_of([*sets(state.forgotten), *sets(names)])
    assert union is not None
    # Of a class whose rows are dropped, unseen rows are left.
    held = before is not None and (len(before.rows) or before.classes)
    return Batch(without(new, None, before if held else None), union)


def _as_before(forget: ForgetSet, parts: Sequence[ForgetSet], asked: Sequence[int]) -> ForgetSet:
    """With every class that was forgotten, also beside samples: unseen rows of these classes are in no set either.
    Those of a class that is forgotten now, again after a roll-back or beside a new one, decide when to stop."""
    return replace(forget, classes=tuple(sorted({c for part in parts for c in part.classes} - set(asked))))


def request_for(forget: ForgetSet, places: Places) -> dict[str, Any]:
    """The setting ``request`` that names these rows."""
    if forget.kind == "class":
        return {"kind": "by_class", "classes": list(forget.classes)}
    alone = replace(forget, before=None)
    return {"kind": "by_id", "path": shown(save_forget_set(places.store / "requests", alone))}


@dataclass(frozen=True)
class Link:
    """Both plans of a batch."""

    plan: Plan
    judged: Plan
    dropped: int
    """Rows that earlier versions have forgotten and that are in the data no more; no audit is about them."""


def link_of(places: Places, state: State, batch: Batch, local: bool, name: str) -> Link:
    """Make both plans; the original is trained if it does not exist yet."""
    config, judged = audit_plan(places, state, batch, name)
    if not judged.original.done:
        with contextlib.nullcontext() if local else ray_session(config):
            train_missing(judged.workspace, [judged.original], local)
    dropped = sum(drop.entry.fields["rows"] for drop in state.drops)
    return Link(_unlearning(places, state, config, batch.new, judged), judged, dropped)


def audit_plan(places: Places, state: State, batch: Batch, name: str) -> tuple[RunConfig, Plan]:
    """The configuration of the run, and the plan of its audit; nothing is trained.

    Raises: UserError for a batch that cannot be answered.
    """
    values = written_settings(places, state)
    config = replace(config_for(values, request_for(batch.new, places)), name=name)
    open_data(config, state)
    asked: Any = config_from({**values, "request": request_for(batch.union, places)}).request
    judged = plan_of(Workspace(replace(config, request=asked)), batch.union)
    # The original of the ledger, whatever key this version of the code would give it.
    first = replace(judged.original, folder=places.store / state.opened.fields["original"])
    if not first.done and state.drops:
        raise ConfigError(
            f"{first.folder} is gone, the original of {places.model}; it cannot be trained again: "
            f"{told_drops(state.drops)}. Bring it from a copy."
        )
    return config, replace(judged, original=first)


def predecessor_of(state: State) -> str:
    """Folder of the current version."""
    return state.versions[-1].folder if state.versions else str(state.opened.fields["original"])


def _unlearning(places: Places, state: State, config: RunConfig, new: ForgetSet, judged: Plan) -> Plan:
    folder = places.store / predecessor_of(state)
    plan = plan_of(judged.workspace.with_config(config), new)
    weights = weights_of(read_meta(folder))
    return replace(plan, original=TrainJob("current version", folder, None), oracles=(), starts_from=weights)


def weights_of(meta: Mapping[str, Any]) -> str:
    """Checksum of a saved model's weights."""
    return str(meta["files"][WEIGHTS])
