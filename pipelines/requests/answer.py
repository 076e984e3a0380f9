"""``cu requests run`` and ``cu requests roll-back``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from cu_core.audit.proxy import proxy_score
from cu_core.audit.report import AuditReport
from cu_core.audit.table import audits_of
from cu_core.config_io import config_from
from cu_core.errors import ConfigError
from cu_core.run_audit import run_proxy
from cu_core.storage import fetched
from cu_core.stored import read_stored
from pipelines.console import console
from pipelines.requests.asked import found_set_of
from pipelines.requests.chain import audit_plan, batch_of, link_of
from pipelines.requests.data_versions import told_drops
from pipelines.requests.facts import facts_of
from pipelines.requests.ledger import Entry
from pipelines.requests.opened import written_settings
from pipelines.requests.places import Places
from pipelines.requests.registry import point_aliases
from pipelines.requests.state import State, state_of
from pipelines.run.folder import RECORD, RunFolder
from pipelines.run.job import run_plans
from pipelines.run.plan import Plan
from pipelines.run.task_options import device_of

PROXY_AUDITS = {"accuracy", "membership", "rebound"}
REPORTS = TypeAdapter(AuditReport)
AGAIN = "take it from a copy"


@dataclass(frozen=True)
class Answered:
    """What `cu requests run` did."""

    entry: Entry
    folder: RunFolder | None
    """Absent where nothing was left to forget."""
    report: AuditReport | None


def answer(places: Places, names: Sequence[str], local: bool) -> Answered | None:
    """Answer these requests, or all pending ones, as one batch; an interrupted batch goes on first. ``None``: nothing
    is pending."""
    state = state_of(places.ledger.read())
    if state.started is None:
        entry = places.ledger.append(lambda entries: _start(places, state_of(entries), names))
        if entry is None:
            if state.versions:  # a command that was killed may have entered its version, and not named it yet
                point_aliases(places, state, config_from(written_settings(places, state)))
            return None
        if entry.kind == "answered":
            return Answered(entry, None, None)
        state = state_of(places.ledger.read())
    elif names and set(names) != set(state.started.fields["requests"]):
        raise ConfigError(
            f"the run {state.started.fields['run']} of {', '.join(state.started.fields['requests'])} was interrupted; "
            f"go on with `cu requests run` and these, or cancel one of them."
        )
    else:
        told = f"goes on with {state.started.fields['run']}"
        console.print(told, highlight=False, markup=False)
    return _finish(places, state, local)


def _start(places: Places, state: State, names: Sequence[str]) -> Mapping[str, Any] | None:
    """The entry that begins a batch; that its requests are answered already, if nothing is left to forget."""
    if state.started is not None:
        raise ConfigError(f"{state.started.fields['run']} was begun by another command meanwhile; wait for it.")
    for name in names:
        if (request := state.request(name)).word != "pending":
            why = f" ({request.why})" if request.why else ""
            raise ConfigError(f"{name} is {request.word}{why}; only pending requests can be run.")
    chosen = list(dict.fromkeys(names)) or state.pending
    if not chosen:
        return None
    batch = batch_of(places, state, chosen)
    if batch is None:
        return {"kind": "answered", "answered_by": {name: _by(places, state, name) for name in chosen}}
    name = f"{places.model}-run-{state.last + 1}"
    audit_plan(places, state, batch, name)  # a run that cannot be is not begun
    return {"kind": "started", "requests": chosen, "run": name}


def _by(places: Places, state: State, name: str) -> list[str]:
    """By ids: rows may be dropped from the data since."""
    asked = found_set_of(places, state, name).sample_ids
    return [one for one in state.forgotten if np.isin(asked, found_set_of(places, state, one).sample_ids).any()]


def _finish(places: Places, state: State, local: bool) -> Answered:
    assert state.started is not None
    names, name = list(state.started.fields["requests"]), state.started.fields["run"]
    batch = batch_of(places, state, names)
    if batch is None:  # nothing is left to forget, and there was when it began
        raise ConfigError(
            f"the rows of {name} are in the data no more: {told_drops(state.drops[-1:])}; `cu requests cancel` one of "
            f"{', '.join(names)}, and run the others again."
        )
    link = link_of(places, state, batch, local, name)
    folder = RunFolder(places.run(name))
    if folder.finished:
        if folder.record().get("config_digest") != link.plan.digest:
            raise ConfigError(
                f"{folder.path} holds another run, or one of another version of this project; `cu requests cancel` one "
                f"of {', '.join(names)}, and run the others again."
            )
        report = read_stored(folder.path / "audit.json", REPORTS, AGAIN)
    else:
        resume = name if fetched(folder.path / RECORD) else None
        report = run_plans(link.plan, link.judged, local=local, resume=resume).report
    facts = facts_of(places, names, link, folder, report, proxies_of(link.judged, folder.unlearned), local)

    def make(entries: Sequence[Entry]) -> Mapping[str, Any] | None:
        _check_entering(state_of(entries), name, facts)
        return facts

    entry = places.ledger.append(make)
    assert entry is not None
    point_aliases(places, state_of(places.ledger.read()), link.judged.config)
    return Answered(entry, folder, report)


def _check_entering(now: State, name: str, facts: Mapping[str, Any]) -> None:
    """Raises: ConfigError if another command has changed the ledger while the run was made."""
    if now.started is None or now.started.fields["run"] != name:
        raise ConfigError(f"the run {name} was finished or given up by another command; nothing is entered twice.")
    if now.data != facts["data"]["digest"]:
        raise ConfigError(
            f"{told_drops(now.drops[-1:])}, while {name} ran; `cu requests cancel` one of "
            f"{', '.join(facts['requests'])}, enter it again if it is still wanted, and run all again."
        )


def proxies_of(judged: Plan, unlearned: Path) -> dict[str, float]:
    """The proxy and its parts, where there is no oracle and the audits that it rests on were made."""
    if judged.oracles or not audits_of(judged.forget.kind, judged.config.audit).keys() >= PROXY_AUDITS:
        return {}
    parts = run_proxy(judged.workspace, judged.original.folder, unlearned, device_of(judged.config))
    return {"proxy": proxy_score(parts)} | {f"proxy/{name}": value for name, value in parts.items()}


def roll_back(places: Places) -> Entry:
    """Make the predecessor current again; the requests of the version that goes are pending again.

    Raises: ConfigError if the original is current, or a run is under way.
    """

    def make(entries: Sequence[Entry]) -> Mapping[str, Any]:
        state = state_of(entries)
        if not state.versions:
            raise ConfigError(f"{places.model}: the original is current; there is nothing to roll back.")
        if state.started is not None:
            raise ConfigError(f"{state.started.fields['run']} is under way or was interrupted; finish or cancel it.")
        gone = state.versions[-1]
        for name in gone.entry.fields["requests"]:
            if drop := state.dropped_by(name):
                raise ConfigError(
                    f"the version before {gone.folder} cannot be current again: it holds rows of {name} that could not "
                    f"be unlearned again: {drop.told}."
                )
        to = state.versions[-2].folder if len(state.versions) > 1 else state.opened.fields["original"]
        again = state.lost_without_last
        return {"kind": "rolled_back", "version": gone.entry.number, "from": gone.folder, "to": to, "requests": again}

    entry = places.ledger.append(make)
    assert entry is not None
    state = state_of(places.ledger.read())
    point_aliases(places, state, config_from(written_settings(places, state)))
    return entry
