"""The SQLite file of MLflow: whole or absent, made by one process; what else may lie in its place is told in a line."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

import mlflow
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from cu_core.errors import ConfigError
from cu_core.files import atomic_file, digest_of, settle
from cu_core.leftovers import partial_name, sweep
from cu_core.storage import cache
from pipelines.console import console

PATIENCE = 120.0
"""Seconds that another process which makes the file is waited for; it takes about six."""
HELD = ("runs", "registered_models")
"""Tables of which a row is something to keep."""
UNSAFE = "?#%"
"""Characters with a meaning in the address of a database, which not all versions of SQLAlchemy let be quoted."""


def sqlite_uri(file: Path) -> str:
    """The address of a file; a folder with characters that no address can hold is reached by a link in the cache."""
    if any(c in str(file) for c in UNSAFE):
        link = cache() / "links" / digest_of(str(file.parent))
        if not link.is_symlink():
            with atomic_file(link) as partial:
                partial.symlink_to(file.parent)
        file = link / file.name
    return f"sqlite:///{file}"


def file_of(uri: str) -> Path:
    """The file of an address that begins with ``sqlite``.

    Raises: ConfigError if it names none.
    """
    try:
        name = make_url(uri).database
    except SQLAlchemyError as error:
        raise ConfigError(f"tracking.uri: must be sqlite:///FILE, got {uri!r}.") from error
    if not name or name == ":memory:":
        raise ConfigError(f"tracking.uri: {uri!r} names no file; write sqlite:///FILE.")
    return Path(name)


def make_ready(file: Path, artifacts: str) -> bool:
    """See that the file is a whole database of MLflow; one process makes it, aside, others wait. A file that a kill
    left half made is made again where it holds no run. Returns whether it was made.

    Raises: ConfigError, in one line, for what cannot be used.
    """
    if not file.parent.is_dir():
        raise ConfigError(
            f"tracking.uri: there is no folder {file.parent} for MLflow's file; make it, or name another."
        )
    if _is_whole(file):
        return False
    try:
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=PATIENCE):
            if _is_whole(file):
                return False
            _make(file, artifacts)
    except Timeout as error:
        raise ConfigError(f"tracking.uri: another process has been making {file} for {PATIENCE:.0f} s.") from error
    return True


def _make(file: Path, artifacts: str) -> None:
    sweep(file.parent)
    partial = partial_name(file)
    try:
        store = SqlAlchemyStore(sqlite_uri(partial), artifacts)
        store.engine.dispose()
        settle(partial)
        if file.exists():
            console.print(f"{file} was half made and holds no run: it is made again", markup=False, highlight=False)
            for rest in ("-journal", "-wal", "-shm"):
                file.with_name(file.name + rest).unlink(missing_ok=True)
        partial.replace(file)
        settle(file.parent / file.name)
    except (SQLAlchemyError, MlflowException) as error:
        raise ConfigError(f"tracking.uri: {file} cannot be made: {reason(error)}.") from error
    finally:
        for path in file.parent.glob(f"{partial.name}*"):
            path.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """What the database said, without SQLAlchemy's words around it."""
    return str(getattr(error, "orig", None) or error).splitlines()[0][:200]


def _is_whole(file: Path) -> bool:
    """False where it is absent, or half made and without anything to keep.

    Raises: ConfigError if it is something else, or cannot be read or written.
    """
    if not file.exists():
        return False
    if not file.is_file():
        raise ConfigError(f"tracking.uri: {file} must be MLflow's file, it is a folder; move it away.")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=30)) as found:
            tables = {name for (name,) in found.execute("select name from sqlite_master where type = 'table'")}
            if any(found.execute(f"select 1 from {name} limit 1").fetchone() for name in HELD if name in tables):  # noqa: S608
                return True  # of whatever version: MLflow says what it makes of it
            rows = found.execute("select version_num from alembic_version") if "alembic_version" in tables else ()
            return [version for (version,) in rows] == [_newest_version()]
    except sqlite3.Error as error:
        raise ConfigError(
            f"tracking.uri: {file} cannot be used as MLflow's file ({error}); move it away: a new one is made, and "
            f"what runs have recorded stays in their folders."
        ) from error


def _newest_version() -> str | None:
    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations"
    return ScriptDirectory(str(migrations)).get_current_head()
