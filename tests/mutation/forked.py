"""Runs pytest in copies of the tree, forked from a process that has loaded the libraries: loading them takes longer."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import shutil
import signal
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from coverage import Coverage

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("hypothesis", "numpy", "open_clip", "pandas", "peft", "pyarrow.parquet", "pydantic", "safetensors.torch")
LIBRARIES += ("scipy.stats", "sklearn.datasets", "sklearn.linear_model", "timm", "torch", "torchvision", "yaml")
MEMORY_BYTES = 8 * 2**30
# Ranks and workers are processes of their own.
RCFILE = """[run]
source_pkgs = cu_core
parallel = true
patch = subprocess,_exit,fork
disable_warnings = no-data-collected
"""


class Job(NamedTuple):
    """Test files to run with the text of one source file replaced, or with what they run recorded in a folder."""

    name: str
    tests: list[str]
    limit_seconds: int
    """Of CPU time, in each process: how busy the machine is does not matter. A test that waits has pytest's limit."""
    source: str = "pyproject.toml"
    code: str | None = None
    coverage: Path | None = None


class Outcome(NamedTuple):
    status: int
    """Exit status of pytest; -SIGXCPU after the time limit."""
    output: str
    cpu_seconds: float


def run_jobs(jobs: Iterable[Job], copies: list[Path]) -> Iterator[tuple[Job, Outcome]]:
    """One job at a time in every copy; when interrupted, what runs is killed and has no outcome."""
    for library in LIBRARIES:
        importlib.import_module(library)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    waiting, free = iter(jobs), list(copies)
    running: dict[int, tuple[Job, Path, str]] = {}
    try:
        while True:
            while free and (job := next(waiting, None)):
                copy = free.pop()
                before = (copy / job.source).read_text()
                (copy / job.source).write_text(before if job.code is None else job.code)
                running[_start(job, copy)] = (job, copy, before)
            if not running:
                return
            pid, status, usage = os.wait4(-1, 0)
            _kill(pid)
            job, copy, before = running.pop(pid)
            (copy / job.source).write_text(before)
            free.append(copy)
            output = copy.with_suffix(".log").read_text(errors="replace")
            yield job, Outcome(os.waitstatus_to_exitcode(status), output, round(usage.ru_utime + usage.ru_stime, 1))
    finally:
        for pid in running:
            _kill(pid)


def _kill(group: int) -> None:
    """A test's own processes too, which may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _start(job: Job, copy: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (job.limit_seconds, job.limit_seconds + 5))
        log = os.open(copy.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = _run(job, copy)
        sys.stdout.flush()
    finally:
        os._exit(status)


def _run(job: Job, copy: Path) -> int:
    os.chdir(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path).resolve() not in (ROOT, copy))]
    os.environ["PYTHONPATH"] = str(copy)
    os.environ["PYTHONDONTWRITEBYTECODE"] = (
        "1"  # of two faults of the same second and size, Python would know the first
    )
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.modules["__main__"] = types.ModuleType("__main__")  # which ranks would import
    shutil.rmtree(".hypothesis", ignore_errors=True)  # examples that another fault failed
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--basetemp={copy.with_suffix('.tmp')}"]
    if not job.tests:
        return 0
    if job.coverage is None:
        return int(pytest.main([*options, *job.tests]))
    measure = coverage_of(job.coverage)
    measure.start()
    status = int(pytest.main([*options, *job.tests]))
    measure.stop()
    measure.save()
    return status


def coverage_of(folder: Path) -> Coverage:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rc").write_text(RCFILE)
    return Coverage(data_file=str(folder / "data"), config_file=str(folder / "rc"))
