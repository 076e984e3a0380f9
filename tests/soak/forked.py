"""``cu`` in processes forked from one that has loaded the libraries: loading takes most of a short run."""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = (
    *("torch", "torch._dynamo", "mlflow", "sqlalchemy", "alembic", "pandas", "matplotlib.pyplot", "sklearn.manifold"),
    *("pyarrow.dataset", "pipelines.cli.main", "pipelines.run.job", "pipelines.audits.audit_model"),
)
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@dataclass
class Started:
    """A command that was started."""

    pid: int
    log: Path
    status: int | None = None
    """Exit status; the negative number of the signal that ended it."""

    def poll(self, wait: bool = False) -> int | None:
        if self.status is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def kill(self) -> None:
        """Kill it and all that it started, without notice."""
        os.killpg(self.pid, signal.SIGKILL)
        self.poll(wait=True)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def start(words: list[str], log: Path) -> Started:
    """Start ``cu`` with these words; it writes to ``log``."""
    for library in LIBRARIES:
        importlib.import_module(library)
    pid = os.fork()
    if pid:
        return Started(pid, log)
    status = 70
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115 - not pytest's
        os.environ.update(ENVIRONMENT)
        sys.argv = ["cu", *words]
        try:
            runpy.run_module("pipelines.cli.entry", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def finish(words: list[str], log: Path, seconds: float = 900) -> Started:
    """Run ``cu`` to its end.

    Raises:
        TimeoutError: It did not end within ``seconds``.
    """
    started, limit = start(words, log), time.monotonic() + seconds
    while started.poll() is None:
        if time.monotonic() > limit:
            started.kill()
            raise TimeoutError(f"cu {' '.join(words)} took more than {seconds:.0f} s:\n{started.said()}")
        time.sleep(0.02)
    return started
