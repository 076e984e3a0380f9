"""A run's folder: where its record, checkpoints, model and report lie, and whether it may go on."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from cu_core.bounds import plain_name
from cu_core.config import RunConfig
from cu_core.config_io import differences, dump_config, load_config
from cu_core.errors import ConfigError
from cu_core.files import file_sha256, new_folder, write_text
from cu_core.messages import shown_value
from cu_core.storage import GROWING, fetch, fetched, names
from cu_core.stored import read_stored
from pipelines.run.lock import at_work

RECORD, NOTES = "run.json", "notes.txt"
GROWING.update((RECORD, NOTES))
RECORDS = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class RunFolder:
    """``storage/runs/NAME``."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def unlearned(self) -> Path:
        return self.path / "unlearned"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def finished(self) -> bool:
        return fetched(self.path / "result.json")

    def note(self, line: str) -> None:
        """Something that whoever reads of the run must know; the driver prints it, and it stays in the record."""
        print(line, file=sys.stderr)
        path = self.path / NOTES
        write_text(path, "\n".join([*self.notes, line]) + "\n")

    @property
    def notes(self) -> list[str]:
        path = self.path / NOTES
        return path.read_text(encoding="utf-8", errors="backslashreplace").splitlines() if fetched(path) else []

    def record(self) -> dict[str, Any]:
        return read_stored(self.path / RECORD, RECORDS, "take it from a copy, or start a new run")

    def write_record(self, **values: Any) -> None:
        old = self.record() if fetched(self.path / RECORD) else {}
        write_text(self.path / RECORD, json.dumps({**old, **values}, indent=1))


def check_name(name: str, setting: str = "name") -> None:
    """Raises: ConfigError for what is no plain name of a folder."""
    try:
        plain_name(name)
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}, got {shown_value(name)}.") from error


def names_in(folder: Path) -> str:
    """What lies there, for who named something else."""
    found = names(folder)
    return f"{', '.join(found[:8])}{' and more' if len(found) > 8 else ''}" or "none"


def _default_name(config: RunConfig, digest: str) -> str:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    data = re.sub(r"\W", "-", Path(config.data.path).name).strip("-")[:60] or "data"
    return f"{data}-{config.request.kind}-{now}-{digest[:6]}"


def begin_run(config: RunConfig, folder: RunFolder, digest: str) -> None:
    """Make the folder: it appears together with its record, so that a kill leaves nothing that blocks the name.

    Raises: ConfigError if another run has taken the name meanwhile.
    """
    try:
        with new_folder(folder.path) as partial:
            (partial / "config.yaml").write_text(dump_config(config), encoding="utf-8")
            record = {"config_digest": digest, "config_sha256": file_sha256(partial / "config.yaml")}
            (partial / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    except FileExistsError as error:
        raise _in_use(folder) from error


def _in_use(folder: RunFolder) -> ConfigError:
    if not fetched(folder.path / RECORD):
        return ConfigError(f"name: {folder.path} exists and is no run; move it away, or choose another name.")
    state = f"was interrupted; go on with --resume {folder.name}, or"
    if folder.finished:
        state = "is finished;"
    elif who := at_work(folder.path):
        state = f"is running ({who}); wait for it, or"
    return ConfigError(f"name: a run {folder.name!r} exists and {state} choose another name for a new run.")


def find_run(config: RunConfig, digest: str, resume: str | None) -> tuple[RunConfig, RunFolder]:
    """The place of a new run of this configuration (of result digest ``digest``), or the run to resume.

    Raises: ConfigError for a name in use, and for resuming what is finished, absent or of another configuration.
    """
    runs = config.store / "runs"
    if resume is None:
        check_name(config.name or _default_name(config, digest))
        folder = RunFolder(runs / (config.name or _default_name(config, digest)))
        if folder.path.exists() or fetched(folder.path / RECORD):
            raise _in_use(folder)
        return replace(config, name=folder.name), folder
    check_name(resume, "--resume")
    folder = RunFolder(runs / resume)
    if not fetched(folder.path / RECORD):
        raise ConfigError(f"--resume {resume}: no such run in {runs}; runs there: {names_in(runs)}.")
    if folder.finished:
        raise ConfigError(f"--resume {resume}: that run is finished; its report is {folder.path / 'report.html'}.")
    if folder.record().get("config_digest") != digest:
        own = folder.path / "config.yaml"
        fetch(own)
        what = []
        with contextlib.suppress(ConfigError):  # of another version, with other settings
            what = differences(load_config(own, record=True).of_the_result(), config.of_the_result())
        raise ConfigError(
            f"--resume {resume}: that run has another configuration "
            f"({'; '.join(what) or 'other data, or another version of this project'}); use {own}, or start a new run."
        )
    return replace(config, name=resume), folder
