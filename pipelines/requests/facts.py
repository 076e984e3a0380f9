"""What the ledger keeps of an answered batch, and a certificate says: the fields of the entry ``completed``."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from cu_core import __version__
from cu_core.audit.report import AuditReport
from cu_core.checkpoint import read_meta
from cu_core.data.schema import MANIFEST
from cu_core.files import digest_of, sha256_of
from cu_core.source import source_digest
from cu_core.storage import fetch
from pipelines.requests.chain import Link, weights_of
from pipelines.requests.places import Places
from pipelines.requests.salted import read_salt
from pipelines.run.folder import RunFolder
from pipelines.run.plan import Plan
from pipelines.run.record import figures
from pipelines.tracking.mlflow_runs import git_commit

CLAIMED = (
    "The model named as result was computed from the model named as predecessor by the recorded method, with the goal "
    "that it behaves as a model that was trained without the rows of this request and of all earlier ones.",
    "While it was computed, every retained row was checked by its id. The number of forgotten rows among them is given "
    "as violations.",
    "The result was compared, by the recorded audits, with models that were trained without these rows. The verdict, "
    "and the controls that show what the audits can detect, are given as they were measured.",
)
"""The last one where there were such models."""
NOT_CLAIMED = (
    "That the result is identical to a model that was trained without these rows, or that no other test could find a "
    "difference. The verdict is about the audits that are named, at their stated error.",
    "That the rows are deleted from data sets, backups, logs, earlier versions of the model, or other systems.",
    "That earlier versions of the model, or copies of it in use elsewhere, are withdrawn.",
    "That a law or a contract is complied with. This is a record of a computation, not legal advice.",
)
NOT_COMPARED = (
    "That the result was compared with a model that was trained without the rows: there was none (audit.oracles=0)."
)


def facts_of(
    places: Places,
    names: Sequence[str],
    link: Link,
    folder: RunFolder,
    report: AuditReport,
    proxies: Mapping[str, float],
    local: bool,
) -> dict[str, Any]:
    """The fields of the entry, from a finished run, its report, and the figures that need no oracle."""
    plan, judged, salt = link.plan, link.judged, read_salt(places.salt)
    return {
        "kind": "completed",
        "requests": list(names),
        "run": folder.name,
        "data": {
            "digest": judged.manifest.digest,
            "path": judged.config.data.path,
            "manifest": sha256_of(judged.reader.folder / MANIFEST),
        },
        "rows": _rows(plan, judged, link.dropped),
        "forget": salt.of(f"forget:{plan.forget.digest}"),
        "union": salt.of(f"forget:{judged.forget.digest}"),
        "original": _model(places, judged.original.folder),
        "predecessor": _model(places, plan.original.folder),
        "result": _model(places, folder.unlearned),
        "configuration": _file(places, folder.path / "config.yaml"),
        "seed": plan.config.seed,
        "code": code_of(plan.config.method),
        "environment": environment_of(
            read_meta(folder.unlearned, verify=False)["environment"],
            torch.get_num_threads() if local else max(1, int(plan.config.workers.cpus)),
        ),
        "workers": {"local": local, "count": plan.config.workers.count},
        "cost": {key: float(value) for key, value in report.cost.items()},
        "violations": report.leaks,
        "retained_rows_checked": report.retain_ids_checked,
        "audit": {**_file(places, folder.path / "audit.json"), **_audit(report, proxies)},
        **claims(compared=bool(judged.oracles)),
    }


def claims(compared: bool) -> dict[str, list[str]]:
    """What is claimed and what is not; ``compared``: there were models trained without the rows."""
    if compared:
        return {"claimed": list(CLAIMED), "not_claimed": list(NOT_CLAIMED)}
    return {"claimed": list(CLAIMED[:-1]), "not_claimed": [NOT_COMPARED, *NOT_CLAIMED]}


def _rows(plan: Plan, judged: Plan, dropped: int) -> dict[str, int]:
    """Rows that were in the data, and how many were forgotten earlier and dropped from the data since."""
    before = plan.forget.before
    return {
        "forgotten_now": len(plan.forget.rows),
        "forgotten_in_all": len(judged.forget.rows),
        "forgotten_before": 0 if before is None else len(before.rows),
        "training": judged.manifest.num_rows("train"),
    } | ({"dropped": dropped} if dropped else {})


def code_of(method: object) -> dict[str, str]:
    """Version and commit of this project, and the digest of the source that unlearns by a method."""
    source = source_digest("unlearned", type(method).__module__)
    return {"version": __version__, "commit": git_commit(), "source": source}


def _model(places: Places, folder: Path) -> dict[str, str]:
    return {"folder": places.inside(folder), "weights": weights_of(read_meta(folder))}


def _file(places: Places, path: Path) -> dict[str, str]:
    fetch(path)
    return {"file": places.inside(path), "sha256": sha256_of(path)}


def environment_of(made: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment that made a model with so many threads, and the packages and processor of this process."""
    packages = sorted(f"{one.metadata['Name']}=={one.version}" for one in distributions())
    return {
        **made,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(threads),
        "packages": digest_of(packages),
    }


def _audit(report: AuditReport, proxies: Mapping[str, float]) -> dict[str, Any]:
    """The verdict, its controls, and the figures by which a policy decides."""
    audits = {
        name: {"verdict": one.word, "original_fails": one.original_fails, "held_out_oracles_pass": one.oracles_passed}
        for name, one in report.verdict.audits.items()
    }
    measured = {name: value for name, value in figures(report).items() if not name.startswith("cost/")} | dict(proxies)
    return {
        "verdict": report.verdict.word,
        "reason": report.verdict.reason,
        "controls": audits,
        "oracles": max((len(row.oracles) for row in report.rows), default=0),
        "figures": {name: value for name, value in measured.items() if value == value},  # JSON has no NaN
    }
