"""Which test files run which functions, recorded once per test file."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from tests.mutation.forked import Job, Outcome, coverage_of, run_jobs
from tests.mutation.places import definition, functions

Seen = dict[str, dict[str, Any]]


def digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def record(copies: list[Path], place: Path, folders: list[str]) -> Seen:
    """By test file: digest, CPU seconds, and the functions that ran, by source file; what is known is not run again."""
    root = copies[0]
    tests = sorted(str(file.relative_to(root)) for folder in folders for file in (root / folder).rglob("test_*.py"))
    entries = {test: place / f"{test.replace('/', '-')}.json" for test in tests}
    place.mkdir(parents=True, exist_ok=True)
    known = {test: json.loads(entry.read_text()) for test, entry in entries.items() if entry.is_file()}
    stale = [test for test in tests if test not in known or known[test]["digest"] != digest(root / test)]
    jobs = (Job(test, [test], 3600, coverage=entries[test].with_suffix(".coverage")) for test in stale)
    for job, outcome in run_jobs(jobs, copies) if stale else ():
        known[job.name] = {"digest": digest(root / job.name), "seconds": outcome.cpu_seconds, "ran": _ran(job, outcome)}
        entries[job.name].write_text(json.dumps(known[job.name], indent=0))
        print(f"recorded what {job.name} runs: {outcome.cpu_seconds:.0f} s", flush=True)
    return {test: known[test] for test in tests}


def _ran(job: Job, outcome: Outcome) -> dict[str, list[str]]:
    if outcome.status not in (0, 5) or job.coverage is None:  # 5: all its tests wait to be asked for by a mark
        raise RuntimeError(f"{job.name} does not pass without a fault:\n{outcome.output[-3000:]}")
    coverage = coverage_of(job.coverage)
    coverage.combine()
    measured, ran = coverage.get_data(), dict[str, list[str]]()
    for file in sorted(measured.measured_files()):
        if not Path(file).is_file():  # of a copy that a test made in an archive
            continue
        bodies = functions(Path(file).read_text())
        source = file[file.rindex("/cu_core/") + 1 :]
        ran[source] = sorted({definition(bodies, line) for line in measured.lines(file) or ()})
    shutil.rmtree(job.coverage)
    return ran


def tests_for(seen: Seen, source: str, name: str) -> list[str]:
    """Test files that run the function; else those that run any of the file, or import it. Fastest first."""
    ran = {test: entry["ran"].get(source, []) for test, entry in seen.items()}
    chosen = [test for test in ran if name and name in ran[test]]
    chosen = chosen or [test for test in ran if any(ran[test])] or [test for test in ran if ran[test]]
    return sorted(chosen, key=lambda test: (seen[test]["seconds"], test))
