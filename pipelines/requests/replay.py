"""``cu requests verify --replay``: the unlearning of an entry is run again, and its weights are compared."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from cu_core.checkpoint import load_weights, read_meta
from cu_core.data.schema import read_manifest
from cu_core.dist import use_cpus
from cu_core.environment import environment
from cu_core.errors import ConfigError
from cu_core.storage import fetched, place, shown
from cu_core.types import StepReport
from cu_core.weights_file import META
from pipelines.cluster.session import ray_session
from pipelines.requests.chain import batch_of, link_of, weights_of
from pipelines.requests.data_versions import another_version
from pipelines.requests.facts import code_of, environment_of
from pipelines.requests.ledger import Entry
from pipelines.requests.places import Places
from pipelines.requests.state import state_of
from pipelines.requests.verify import state_when
from pipelines.run.folder import RunFolder
from pipelines.run.unlearning import unlearn

TOLERANCE = 1e-3
"""Greatest difference of a weight, as a share of the largest weight of its tensor, on another kind of machine."""
COMPARED = ("source", "torch", "device", "matmul", "gpu", "machine", "instructions")
"""What of code and environment may change the last bits; the number of threads is that of the record."""


class Quiet:
    """Keeps no curves."""

    def __call__(self, report: StepReport) -> None:
        pass

    def flush(self) -> None:
        pass


def replay(places: Places, number: int) -> tuple[list[str], list[str]]:
    """Unlearn again what entry ``number`` records; returns (problems, notes).

    Raises: ConfigError if what it began from is gone.
    """
    entries = places.ledger.read()
    entry = entries[number - 1]
    facts = entry.fields
    folder = places.store / facts["predecessor"]["folder"]
    if not fetched(folder / META):
        raise ConfigError(f"--replay: {shown(folder)} is gone, from which the run began.")
    manifest = read_manifest(place(facts["data"]["path"]))
    if manifest.digest != facts["data"]["digest"]:
        said = another_version(manifest, state_of(entries), number)
        raise ConfigError(f"--replay: the run used data that are not there any more: {facts['data']['path']} {said}.")
    before, threads = torch.get_num_threads(), int(facts["environment"]["threads"])
    with tempfile.TemporaryDirectory() as scratch:
        try:
            use_cpus(threads)
            made, method = _unlearn_again(places, entries, entry, Path(scratch))
        finally:
            torch.set_num_threads(before)
        here = {**environment_of(environment(facts["environment"]["device"]), threads), **code_of(method)}
        then = {**facts["environment"], **facts["code"]}
        return compare(made, places.store / facts["result"]["folder"], then, here)


def _unlearn_again(places: Places, entries: list[Entry], entry: Entry, place: Path) -> tuple[Path, object]:
    """Returns the model and the method."""
    begun = max(e.number for e in entries[: entry.number] if e.kind == "started")
    state = state_when(entries, begun)
    local = entry.fields["workers"]["local"]
    batch = batch_of(places, state, entry.fields["requests"])
    assert batch is not None
    link = link_of(places, state, batch, local, entry.fields["run"])
    plan = link.plan
    profile = replace(plan.config.workers, profile=False)
    plan = replace(plan, workspace=plan.workspace.with_config(replace(plan.config, workers=profile)))
    folder = RunFolder(place / "replay")
    with contextlib.nullcontext() if local else ray_session(plan.config):
        unlearn(plan, folder, Quiet(), local)
    return folder.unlearned, plan.config.method


def compare(made: Path, recorded: Path, then: dict[str, str], here: dict[str, str]) -> tuple[list[str], list[str]]:
    """The weights of a replay against the recorded ones."""
    if weights_of(read_meta(made)) == weights_of(read_meta(recorded)):
        return [], ["replay: the same weights, bit for bit"]
    changed = [name for name in COMPARED if then.get(name) != here.get(name)]
    greatest = greatest_difference(made, recorded)
    said = f"the greatest difference of a weight is {greatest:.1e} of the largest of its tensor"
    if not changed:
        return [f"replay: other weights on the same kind of machine; {said}"], []
    where = ", ".join(f"{name} {then.get(name)} (here {here.get(name)})" for name in changed)
    line = f"replay: made with {where}; {said} (tolerance {TOLERANCE:g})"
    return ([], [line]) if greatest <= TOLERANCE else ([line], [])


def greatest_difference(made: Path, recorded: Path) -> float:
    """Over all tensors, the greatest difference, divided by the largest value of the tensor."""
    one, other = load_weights(made), load_weights(recorded)
    if one.keys() != other.keys() or any(one[name].shape != other[name].shape for name in one):
        return float("inf")
    found = [
        float(
            (one[name].double() - other[name].double()).abs().max() / other[name].double().abs().max().clamp(min=1e-12)
        )
        for name in one
        if one[name].numel()
    ]
    return max(found, default=0.0)
