"""Mutation testing: puts single faults into copies of the tree and runs the tests that see them.

A result is kept (results.jsonl) until the faulty file changes, or the test file that found the fault, or, where no test
found it, any that could have. So an interrupted run goes on, and after new tests only what they can change runs again.
"""

from __future__ import annotations

import argparse
import compileall
import difflib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from cosmic_ray.work_item import MutationSpec

from tests.mutation.forked import Job, Outcome, run_jobs
from tests.mutation.places import mutated, sample, source_files
from tests.mutation.seen_by import Seen, digest, record, tests_for

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "mutation"
JUDGED = Path(__file__).with_name("equivalent.txt")
FOLDERS = "tests/unit/cu_core tests/golden tests/contract tests/parity"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--where", default="cu_core/", help="only files whose path starts so")
    parser.add_argument("--base", help="only files that differ from this commit")
    parser.add_argument("--tests", default=FOLDERS, help="folders, apart by blanks")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    files = [file for file in _files(args.base) if str(file).startswith(args.where)]
    copies = [_copy(PLACE / f"copy-{i}") for i in range(args.jobs)]
    seen = record(copies, PLACE / "seen", args.tests.split())
    mutants = [_describe(copies[0], mutant, seen) for mutant in sample(copies[0], files, args.seed, args.count)]
    results = _run_all(mutants, copies)
    _report([results[mutant["id"]] for mutant in mutants], PLACE / f"survivors-{args.seed}.txt")


def _listed(*git: str) -> list[str]:
    return subprocess.run(["git", *git], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")


def _files(base: str | None) -> list[Path]:
    if base is None:
        return source_files(ROOT)
    names = {*_listed("diff", "--name-only", base), *_listed("ls-files", "-o", "--exclude-standard")}
    files = [file for file in source_files(ROOT) if str(file) in names]
    if not files:
        raise SystemExit(f"no file in the scope of mutation testing differs from {base}.")
    return files


def _copy(to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    for name in filter(None, _listed("ls-files", "-co", "--exclude-standard")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    compileall.compile_dir(to / "cu_core", quiet=1)
    return to


def _describe(root: Path, spec: MutationSpec, seen: Seen) -> dict[str, Any]:
    source, name = str(spec.module_path), spec.definition_name or ""
    before, after = (root / source).read_text(), mutated(root, spec)
    lines = list(difflib.unified_diff(before.split("\n"), after.split("\n"), source, source, n=1, lineterm=""))
    changed = [re.sub(r"\s+", " ", line) for line in lines[2:] if line.startswith(("-", "+"))]
    tests = tests_for(seen, source, name)
    return {
        "id": hashlib.sha256((before + after).encode()).hexdigest()[:12],
        "mark": hashlib.sha256("\n".join([source, name, *changed]).encode()).hexdigest()[:10],
        "place": f"{source}:{spec.start_pos[0]}",
        "operator": spec.operator_name.split("/")[1],
        "diff": "\n".join(lines[2:]),
        "tests": tests,
        "limit": 60 + 3 * round(sum(seen[test]["seconds"] for test in tests)),
        "source": source,
        "code": after,
    }


def _run_all(mutants: list[dict[str, Any]], copies: list[Path]) -> dict[str, dict[str, Any]]:
    log = PLACE / "results.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    kept = {old["id"]: old for old in map(json.loads, lines)}
    todo = {m["id"]: m for m in mutants if not _holds(copies[0], kept.get(m["id"]), m["tests"])}
    jobs = (Job(m["id"], m["tests"], m.pop("limit"), m.pop("source"), m.pop("code")) for m in todo.values())
    with log.open("a") as out:
        for number, (job, outcome) in enumerate(run_jobs(jobs, copies) if todo else (), 1):
            result = kept[job.name] = todo[job.name] | _judge(copies[0], job, outcome)
            print(json.dumps(result), file=out, flush=True)
            told = f"{result['outcome']}, {outcome.cpu_seconds:.0f} s"
            print(f"{number}/{len(todo)} {result['place']} {result['operator']}: {told}", flush=True)
    return kept


def _holds(root: Path, old: dict[str, Any] | None, tests: list[str]) -> bool:
    if old is None or (old["outcome"] == "survived" and old["tests"] != tests):
        return False
    by = [root / test for test in old["by"]]
    return all(test.is_file() for test in by) and digest(*by) == old["digest"]


def _judge(root: Path, job: Job, outcome: Outcome) -> dict[str, Any]:
    by, name = job.tests, "survived"
    if outcome.status == -signal.SIGXCPU:
        by, name = [], "timed out"
    elif outcome.status in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGFPE):
        by, name = [], "found"
    elif outcome.status:
        told = re.search(r"^(?:FAILED|ERROR) ([\w/.]+\.py)|while loading conftest", outcome.output, re.MULTILINE)
        if told is None:
            raise RuntimeError(f"tests neither passed nor failed:\n{job.code}\n{outcome.output[-3000:]}")
        by, name = [test for test in told.groups() if test], "found"
    tests = digest(*(root / test for test in by))
    return {"outcome": name, "by": by, "digest": tests, "seconds": outcome.cpu_seconds}


def _report(results: list[dict[str, Any]], survivors: Path) -> None:
    judged = {line.split()[0] for line in JUDGED.read_text().splitlines() if line and not line.startswith("#")}
    left = [r for r in results if r["outcome"] == "survived" and r["mark"] not in judged]
    late = sum(r["outcome"] == "timed out" for r in results)
    found = sum(r["outcome"] == "found" for r in results) + late
    survivors.write_text("".join(f"{r['mark']} {r['place']} {r['operator']}\n{r['diff']}\n\n" for r in left))
    seconds = sum(r["seconds"] for r in results) / max(len(results), 1)
    print(f"{len(results)} faults, {seconds:.0f} s of CPU time each: {found} found ({late} of them by the time limit),")
    print(f"{len(left)} survived ({survivors}), {len(results) - found - len(left)} judged equivalent")
    print(f"score {100 * found / max(found + len(left), 1):.1f}%")


if __name__ == "__main__":
    main()
