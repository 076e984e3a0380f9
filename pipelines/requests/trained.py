"""Models in a storage that may have been trained with the rows of a request, and MLflow's copies of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from cu_core.checkpoint import read_meta
from cu_core.data.requests import ForgetSet
from cu_core.files import file_sha256
from cu_core.storage import fetched, names
from cu_core.stored import read_stored
from pipelines.requests.chain import weights_of
from pipelines.requests.places import Places
from pipelines.requests.state import State
from pipelines.run.folder import RECORD, RECORDS, RunFolder

DIGITS = 16
"""Of a checksum, as an audit records it."""


def listed(path: Path, forget: ForgetSet) -> int:
    """Rows of the request that a forget set's file names."""
    ids = pa.ipc.open_file(str(path)).read_all()["sample_id"].to_numpy()
    return int(np.isin(ids, forget.sample_ids).sum())


def trained_with(places: Places, state: State, name: str, forget: ForgetSet) -> Iterator[tuple[Path, str]]:
    """Folders of models and what they are. Left out is what is known to be made without the rows: models that were
    retrained without them, and those that have forgotten them."""
    found = dict(_models(places, state, name, forget))
    yield from found.items()
    store = places.store
    every = [store / "models" / key for key in names(store / "models")]
    every += [places.run(run) / "unlearned" for run in names(store / "runs")]
    weights = {_weights(folder): folder for folder in sorted(every, key=lambda folder: folder in found)}
    for file in sorted((store / "mlartifacts").rglob("MLmodel")):
        copy = file.parent / "extra_files" / "model.safetensors"
        folder = weights.get(file_sha256(copy)) if copy.is_file() else None
        if folder is None:
            yield file.parent, "a model in MLflow; it may have been trained with the rows"
        elif folder in found:
            yield file.parent, f"MLflow's copy of {places.inside(folder)}"


def _weights(folder: Path) -> str | None:
    return weights_of(read_meta(folder, verify=False)) if fetched(folder / "meta.json") else None


def _models(places: Places, state: State, name: str, forget: ForgetSet) -> Iterator[tuple[Path, str]]:
    without = _oracles_without(places, state, name, forget)
    for key in names(places.store / "models"):
        if f"models/{key}" == state.opened.fields["original"]:
            yield places.store / "models" / key, f"the original of {places.model}; audits compare with it"
        elif (_weights(places.store / "models" / key) or "")[:DIGITS] not in without:
            why = "an original, oracle or model of a pool; it may have been trained with the rows"
            yield places.store / "models" / key, why
    before = {version.folder for version in state.versions if name not in version.requests}
    after = {version.folder for version in state.versions} - before
    for run in names(places.store / "runs"):
        folder = RunFolder(places.run(run))
        inside = places.inside(folder.unlearned)
        if inside in before:
            yield folder.unlearned, "a version before the request; roll-back and replay need it"
        elif inside not in after and names(folder.unlearned) and not _forgot(places, folder, forget):
            yield folder.unlearned, "an unlearned model that was made from one that may have been trained with the rows"


def _forgot(places: Places, folder: RunFolder, forget: ForgetSet) -> bool:
    """Whether a run forgot every row of the request, by its record."""
    return fetched(folder.path / RECORD) and _names_all(places, folder.record().get("request_digest"), forget)


def _oracles_without(places: Places, state: State, name: str, forget: ForgetSet) -> set[str]:
    """Beginnings of the checksums of models that were retrained without the rows, by the audits that compared with
    them: audits of a forget set that names all of the rows, or on data from which they were dropped."""
    drop, found = state.dropped_by(name), set[str]()
    later = [d.entry.fields["digest"] for d in state.drops if drop and d.entry.number >= drop.entry.number]
    for run in names(places.store / "runs"):
        file = places.run(run) / "audit.json"
        digests = read_stored(file, RECORDS, "take it from a copy").get("digests", {}) if fetched(file) else {}
        if digests.get("data") in later or _names_all(places, digests.get("request"), forget):
            found |= {weights for role, weights in digests.items() if role.startswith("oracle_")}
    return found


def _names_all(places: Places, digest: str | None, forget: ForgetSet) -> bool:
    """Whether a forget set of the storage names every row of the request."""
    path = places.forget_file(str(digest))
    return digest is not None and fetched(path) and listed(path, forget) == len(forget.sample_ids)
