"""A model that has forgotten something before it is opened: no ledger would know of those rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.errors import ConfigError, DamagedFile
from cu_core.files import file_sha256
from cu_core.storage import fetched, names
from cu_core.weights_file import FILES
from pipelines.run.folder import RECORD


def check_not_unlearned(model: str, config: RunConfig) -> None:
    """See that ``model.weights`` is not the result of a run that unlearned, by the checksum of the weights.

    Looked at are the folder of the weights, and the runs of the storage.

    Raises: ConfigError if it is one.
    """
    file = config.weights_file
    if file is None or not file.is_file():
        return
    weights = file_sha256(file)
    for run in _runs(file, config.store):
        try:
            files = read_meta(run / "unlearned", verify=False)["files"]
        except DamagedFile:  # it has made no model
            continue
        if files.get(FILES[0]) == weights:
            raise ConfigError(
                f"model.weights: {config.model.weights} is the result of the run {run.name}, which made it forget "
                f"rows that the ledger would not know, so that later runs could draw them again. Open what that run "
                f"began from (`cu requests open {model} {run / 'config.yaml'}`), and enter its request first."
            )


def _runs(file: Path, store: Path) -> Iterator[Path]:
    """The run that a file may lie in, and all of the storage."""
    if fetched(file.parent.parent / RECORD):
        yield file.parent.parent
    for name in names(store / "runs"):
        yield store / "runs" / name
