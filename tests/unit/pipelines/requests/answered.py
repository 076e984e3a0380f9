"""Ledgers of models whose runs were made by hand: folders of models with one weight, and a report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.checkpoint import save_model
from cu_core.environment import environment
from cu_core.storage import publish
from pipelines.requests.answer import _start
from pipelines.requests.chain import batch_of, link_of
from pipelines.requests.facts import facts_of
from pipelines.requests.opened import open_model
from pipelines.requests.places import Places
from pipelines.requests.policy import Policy
from pipelines.requests.state import State, state_of
from pipelines.run.folder import RunFolder
from tests.unit.pipelines.reports import report

CONFIG = "model: {name: resnet10, width: 8}\naudit: {oracles: 0}\n"


def opened(
    folder: Path, digits: Path, policy: Policy | None = None, name: str = "faces", store: str | None = None
) -> Places:
    """A model with its own copy of the data, whose original is a folder with one weight."""
    if not (folder / "data").exists():
        shutil.copytree(digits, folder / "data")
    (folder / "config.yaml").write_text(
        f"{CONFIG}data: {{path: {folder / 'data'}}}\nstorage: {store or folder / 'out'}\n"
    )
    places, _ = open_model(name, folder / "config.yaml", [], policy or Policy())
    tiny_model(places.store / now(places).opened.fields["original"], 0.0)
    return places


def tiny_model(folder: Path, value: float) -> None:
    save_model(folder, {"w": torch.tensor([value, 1.0])}, {"environment": environment("cpu")})


def now(places: Places) -> State:
    return state_of(places.ledger.read())


def start(places: Places, *names: str) -> None:
    places.ledger.append(lambda entries: _start(places, state_of(entries), names))


def finish(places: Places) -> None:
    """What a run leaves, and its entry."""
    state = now(places)
    assert state.started is not None
    names, name = state.started.fields["requests"], state.started.fields["run"]
    batch = batch_of(places, state, names)
    assert batch is not None
    link = link_of(places, state, batch, True, name)
    folder = RunFolder(places.run(name))
    tiny_model(folder.unlearned, float(state.last))
    (folder.path / "config.yaml").write_text("seed: 0\n")
    made = replace(report(link.judged.config), retain_ids_checked=3840)
    (folder.path / "audit.json").write_bytes(TypeAdapter(AuditReport).dump_json(made))
    (folder.path / "run.json").write_text(json.dumps({}))
    (folder.path / "result.json").write_text("{}")
    publish(folder.path)
    facts = facts_of(places, names, link, folder, made, {}, True)
    places.ledger.append(lambda entries: facts)


def answer_all(places: Places, *names: str) -> None:
    start(places, *names)
    finish(places)
