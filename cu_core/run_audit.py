"""Audit of a model on disk against the original and the oracles; figures of models are kept by digest."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import TypeAdapter

from cu_core import __version__
from cu_core.audit.limits import Limits
from cu_core.audit.neighbours import received
from cu_core.audit.proxy import proxy
from cu_core.audit.report import (
    AuditReport,
    ModelFigures,
    absent_metrics,
    compare_models,
    figure_rows,
    sample_parts,
)
from cu_core.audit.subject import Subject
from cu_core.audit.verdict import Rule
from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.data.forget_split import ForgetSplit
from cu_core.data.requests import ForgetSet
from cu_core.environment import environment
from cu_core.evidence import Evidence, gather, untrained_curves
from cu_core.storage import fetched
from cu_core.stored import read_stored
from cu_core.workspace import Workspace

LIMITS = TypeAdapter(Limits)
PACKAGES = ("torchvision", "numpy", "scikit-learn")
SAMPLED = ("original", "unlearned", "oracle_0")
"""Roles whose samples are in the table of samples."""
ELSEWHERE = "made elsewhere"
"""Among a report's versions, where there is something to say: lines."""


def run_audit(
    workspace: Workspace,
    folders: Mapping[str, Path],
    oracles: Sequence[Path],
    device: torch.device,
    progress: Callable[[str], None] = lambda role: None,
    samples: Callable[[pa.Table], None] | None = None,
) -> AuditReport:
    """Audit the original and the unlearned model against the oracles.

    Args:
        workspace: Configuration, data and request.
        folders: Folders of the roles ``original`` and ``unlearned``.
        oracles: Folders of the oracles.
        device: Device of the models.
        progress: Called with the role before each model.
        samples: Called with parts of a table that has one row per evaluated sample of each of ``SAMPLED``.

    Returns:
        The report.
    """
    config, split = workspace.config, workspace.split
    roles = {**folders, **{f"oracle_{i}": path for i, path in enumerate(oracles)}}

    def keep(role: str, subject: Callable[[], Subject]) -> None:
        if samples and role in SAMPLED:
            for part in sample_parts(role, subject()):
                samples(part)

    evidence = gather(workspace, roles, device, progress, keep)
    return _report(config, split, roles, evidence, untrained_curves(config, split, device))


def limits_file(config: RunConfig, forget: ForgetSet, oracles: int) -> Path:
    """Return the file in which `cu calibrate` stores what a verdict by this number of oracles can detect.

    It is shared by all requests of this kind and size on the same data.
    """
    shape = [forget.kind, len(forget.classes), int(np.log2(len(forget.rows))), config.halves_forget_rows, oracles]
    return config.store / "limits" / f"{config.limits_key(forget.data_digest, shape)}.json"


def read_limits(config: RunConfig, forget: ForgetSet) -> Limits | None:
    """Read what a verdict can detect; ``None`` if `cu calibrate` was not run."""
    file = limits_file(config, forget, config.audit.oracles)
    return read_stored(file, LIMITS, "delete it and run cu calibrate again") if fetched(file) else None


def _report(
    config: RunConfig,
    split: ForgetSplit,
    roles: Mapping[str, Path],
    evidence: Evidence,
    untrained: Mapping[str, Sequence[float]],
) -> AuditReport:
    """Build the report from the figures of the models and the records in their folders."""
    manifest = split.reader.manifest
    others = [role for role in roles if role.startswith("oracle_")]
    figures = {role: evidence.figures(role, others) for role in roles}
    alone, answers = evidence.alone, evidence.answers
    original, unlearned, oracle_figures = figures["original"], figures["unlearned"], [figures[o] for o in others]
    rule = Rule(evidence.claim, oracle_figures, config.audit)
    gap, nothing, verdict = compare_models(original, unlearned, rule, evidence.without(others))
    meta = {role: read_meta(folder, verify=False) for role, folder in roles.items()}
    result = meta["unlearned"]["result"]
    return AuditReport(
        kind=evidence.claim.kind,
        request=asdict(config.request),
        class_names=manifest.class_names,
        sizes=_sizes(split),
        gap=gap,
        doing_nothing_gap=nothing,
        verdict=verdict,
        limits=read_limits(config, split.forget),
        rows=figure_rows(original, unlearned, oracle_figures, rule),
        absent=absent_metrics(evidence.claim.kind, unlearned, len(others), config.audit),
        per_class={role: f.per_class for role, f in alone.items()},
        received={r: (100 * received(a)).tolist() for r, a in answers.items() if len(a.unseen)},
        curves=_curves(alone, untrained),
        cost=_cost(result, [meta[o]["result"] for o in others]),
        stop=result["stop"],
        leaks=result["leaks"],
        retain_ids_checked=result["retain_ids_checked"],
        digests=_digests(config, split.forget, meta),
        versions=_versions(config, evidence.elsewhere),
        settings=as_plain(config),
    )


def _digests(config: RunConfig, forget: ForgetSet, meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of data, request and configuration, and of the weights of every model."""
    about = {"data": forget.data_digest, "request": forget.digest}
    about["config"] = config.result_digest(forget.data_digest, forget.digest)
    return about | {role: m["files"]["model.safetensors"][:16] for role, m in meta.items()}


def _versions(config: RunConfig, elsewhere: Sequence[str]) -> dict[str, str]:
    """Return the versions behind the figures; ``ELSEWHERE`` holds lines on parts made in other environments."""
    packages = {"cu": __version__, "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return packages | environment(config.workers.device) | ({ELSEWHERE: "\n".join(elsewhere)} if elsewhere else {})


def _curves(
    alone: Mapping[str, ModelFigures], untrained: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, list[float]]]:
    """Collect the curves: metric -> role -> values."""
    return {
        name: {**{role: list(f.curves[name]) for role, f in alone.items()}, "untrained": list(values)}
        for name, values in untrained.items()
    }


def _sizes(split: ForgetSplit) -> dict[str, int]:
    names = (
        "forget_set",
        "forget_measured",
        "forget_reported",
        "forget_stop",
        "stop_forget",
        "stop_retain",
        "holdout",
        "retain_train",
        "forget_test",
        "retain_test",
    )
    retained = split.num_train - len(split.forget.gone)
    return {
        "retain_set": retained,
        "retain_pool": split.num_retain,
        **{name: len(getattr(split, name)) for name in names},
    }


def _cost(unlearn: Mapping[str, Any], oracles: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return rows forwarded in training steps, rows of stop checks, steps and seconds."""
    cost = {
        "steps": unlearn["steps"],
        "forget_rows": unlearn["forget_rows"],
        "retain_rows": unlearn["retain_rows"],
        "frozen_rows": unlearn.get("frozen_rows", 0),
        "prepare_rows": unlearn.get("prepare_rows", 0),
        "stop_rows": unlearn["stop"].get("rows", 0),
        "seconds": unlearn["seconds"],
    }
    if oracles:
        cost["retrain_rows"] = float(np.mean([o["retain_rows"] for o in oracles]))
        cost["retrain_seconds"] = float(np.mean([o["seconds"] for o in oracles]))
        cost["rows_frac"] = (cost["forget_rows"] + cost["retain_rows"]) / max(cost["retrain_rows"], 1)
    return cost


def run_proxy(workspace: Workspace, original: Path, unlearned: Path, device: torch.device) -> dict[str, float]:
    """Compute the parts of ``proxy`` for a saved model.

    The figures of both models are stored as by ``run_audit``.

    Args:
        workspace: Configuration, data and request.
        original: Folder of the original.
        unlearned: Folder of the unlearned model.
        device: Device of the models.

    Returns:
        Name of the part -> points.
    """
    found = gather(workspace, {"original": original, "unlearned": unlearned}, device)
    (before, after), answers = (found.alone["original"], found.alone["unlearned"]), found.answers
    forgotten = list(workspace.split.forget.classes)
    return proxy(found.claim.kind, after.metrics, before.metrics, answers["unlearned"], answers["original"], forgotten)
