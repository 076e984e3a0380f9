"""``cu requests list``, ``show`` and ``status``: what the ledger says, in tables and lines."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Column, Table
from rich.text import Text

from cu_core.data.schema import read_manifest
from cu_core.errors import DataError
from cu_core.storage import fetched, place, shown
from pipelines.console import counted
from pipelines.requests.asked import read_asked
from pipelines.requests.data_versions import another_version
from pipelines.requests.places import Places, all_models, known_model
from pipelines.requests.policy import Policy, policy_from
from pipelines.requests.spoken import as_given
from pipelines.requests.state import Request, State, state_of
from pipelines.requests.unentered import told_unentered, unentered


def overdue(request: Request, today: datetime.date) -> bool:
    due = request.received.fields["due"]
    return due is not None and request.word in ("pending", "running") and datetime.date.fromisoformat(due) < today


def list_table(store: Path, model: str | None, today: datetime.date) -> Table:
    """Every request of one model or of all."""
    table = Table("request", "state", "rows", "received", "due", "note")
    for one in [known_model(store, model)] if model is not None else all_models(store):
        for request in state_of(one.ledger.read()).requests.values():
            fields = request.received.fields
            due = f"{fields['due'] or ''}{' OVERDUE' if overdue(request, today) else ''}"
            cells = (request.id, request.word, str(fields["rows"]), request.received.time[:10], due, request.why)
            table.add_row(*map(Text, cells))
    return table


def show_lines(state: State, name: str) -> list[str]:
    """One request, as the ledger has it."""
    request = state.request(name)
    fields = request.received.fields
    lines = [
        f"{name}: {request.word}{f' ({request.why})' if request.why else ''}",
        f"received {request.received.time} in entry {request.received.number} ({request.received.hash})",
        f"{counted(fields['rows'], 'row')} ({fields['what']} request), {fields['new_rows']} not forgotten when it came",
        f"due {fields['due']}" if fields["due"] else "no date is set",
    ]
    if request.completed is not None:
        done = request.completed.fields
        lines += [
            f"answered {request.completed.time} in entry {request.completed.number} ({request.completed.hash})",
            f"run {done['run']}, result {done['result']['folder']} ({done['result']['weights']})",
            f"audit of all {done['rows']['forgotten_in_all']} forgotten rows that were in the data: "
            f"{done['audit']['verdict']}: {done['audit']['reason']}",
        ]
    if drop := state.dropped_by(name):
        lines.append(drop.told)
    return lines


def asked_lines(places: Places, state: State, name: str) -> list[str]:
    """What was asked, for who can read the model's ``intake``; the ledger has none of it."""
    token = state.request(name).received.fields["token"]
    path = places.asked_file(token)
    if not fetched(path) or not os.access(path, os.R_OK):
        return [f"what was asked is in {shown(path)}, which is not there, or not yours to read"]
    asked = read_asked(places, token)
    lines = [f"asked: {as_given(asked.request)}", f"reason: {asked.reason or 'none is given'}"]
    return [*lines, *(f"found: {note}" for note in asked.notes)]


def drift_table(state: State) -> Table:
    """The versions of the lineage: how far each is from models retrained without all that was forgotten, or,
    without such models, the figure of ``cu_core.audit.proxy``."""
    heads = {"oracle_gap": "gap", "proxy": "proxy", "audit/test_accuracy": "test, %"}
    audits = [version.entry.fields["audit"]["figures"] for version in state.versions]
    heads = {name: head for name, head in heads.items() if name != "proxy" or any(name in one for one in audits)}
    names = (Column(name, overflow="fold") for name in ("version", "requests"))
    table = Table(
        *names, "rows", Column("verdict", no_wrap=True), *heads.values(),
        caption="rows: forgotten so far; gap: to the oracles, in points; test: accuracy on retained classes",
    )  # fmt: skip
    table.add_row("original", "", "0", "", *("" for _ in heads))
    for made, figures in zip(state.versions, audits, strict=True):
        fields = made.entry.fields
        rows, verdict = str(_forgotten(fields["rows"])), fields["audit"]["verdict"]
        cells = (fields["run"], ", ".join(fields["requests"]), rows, verdict)
        table.add_row(*map(Text, cells), *(_points(figures.get(name)) for name in heads))
    return table


def _forgotten(rows: Mapping[str, int]) -> int:
    """Rows that a version has forgotten, those that are dropped from the data too."""
    return rows["forgotten_in_all"] + rows.get("dropped", 0)


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def status_lines(places: Places, state: State, policy: Policy | None, today: datetime.date) -> list[str]:
    """What is current, what waits, and whether a retrained model is due by the policy (absent: that of the model)."""
    late = [r.id for r in state.requests.values() if overdue(r, today)]
    lines = [
        f"{places.model}: current is {state.versions[-1].folder if state.versions else 'the original'}",
        f"original: {state.opened.fields['original']}",
        f"pending: {', '.join(state.pending) or 'none'}",
    ]
    if late:
        lines.append(f"OVERDUE: {', '.join(late)}")
    if state.started is not None:
        lines.append(f"under way or interrupted: {state.started.fields['run']}; `cu requests run` goes on with it")
    lines += [f"data: {drop.told}; runs before it cannot be replayed without a copy" for drop in state.drops]
    lines += [f"data: {line}" for line in _data_problem(state)]
    lines += told_unentered(len(unentered(places)), "the next `cu requests add` deletes the files")
    return [*lines, *_due_lines(state, policy)]


def _data_problem(state: State) -> list[str]:
    """That the data are another version than that of the ledger, or are not there."""
    path = state.opened.fields["data"]["path"]
    try:
        manifest = read_manifest(place(path))
    except DataError as error:
        return [str(error)]
    return [] if manifest.digest == state.data else [f"{path} {another_version(manifest, state)}"]


def _due_lines(state: State, policy: Policy | None) -> Sequence[str]:
    if policy is None:
        policy = policy_from(state.opened.fields["retrain_when"], "the model's policy")
    if policy == Policy():
        return ["retrained model: no policy says when one is due (--retrain-when FILE)"]
    if not state.versions:
        return ["retrained model: not due, nothing is forgotten yet"]
    fields = state.versions[-1].entry.fields
    share = _forgotten(fields["rows"]) / (fields["rows"]["training"] + fields["rows"].get("dropped", 0))
    audit = fields["audit"]
    why = policy.due(len(state.versions), share, audit["verdict"], audit["figures"])
    due = f"retrained model: DUE: {'; '.join(why)}" if why else "retrained model: not due"
    return [due, *policy.absent(audit["figures"])]
