"""Audit of a model on disk against the original and the oracles; figures of models are kept by digest."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import TypeAdapter

from cu_core import __version__
from cu_core.audit.answers import Answers, answers_of
from cu_core.audit.limits import Limits
from cu_core.audit.neighbours import received
from cu_core.audit.oracle_gap import Figures
from cu_core.audit.proxy import proxy
from cu_core.audit.relearning import relearning
from cu_core.audit.report import (
    AuditReport,
    ModelFigures,
    absent_metrics,
    compare_models,
    figure_rows,
    per_class_test_accuracy,
    sample_table,
)
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim, audit_against, audit_alone, audits_of
from cu_core.audit.verdict import Rule
from cu_core.audit.zero_shot import digests_of
from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.data.forget_split import ForgetSplit
from cu_core.data.requests import ForgetSet
from cu_core.environment import environment, say, tell_other
from cu_core.errors import DamagedFile
from cu_core.files import write_text
from cu_core.run import fresh_model, load_model, made_elsewhere, open_reader, open_split
from cu_core.salts import Salt
from cu_core.storage import fetched, shown
from cu_core.stored import read_stored

LIMITS = TypeAdapter(Limits)
PACKAGES = ("torchvision", "numpy", "scikit-learn")
ELSEWHERE = "made elsewhere"
"""Among a report's versions, where there is something to say: lines."""


@dataclass(frozen=True)
class Kept:
    """Figures of one model alone, as they are stored."""

    figures: ModelFigures
    environment: Mapping[str, str]


KEPT = TypeAdapter(Kept)
AGAIN = "delete it, and it is made again"


def _figures(config: RunConfig, subject: Subject, meta: Mapping[str, Any]) -> tuple[ModelFigures, Answers, str]:
    """Return the figures and answers of one model alone, and a line if another environment made them.

    They are stored, so the original and the oracles are audited once per request.
    """
    halved = subject.split.halve and subject.split.forget.kind == "sample"
    model = [meta["files"], meta["preprocess"], halved, *digests_of(config.audit.other_data)]
    kept = config.store / "audits" / f"{config.figures_key(model, subject.split.forget.digest)}.json"
    kept_answers, here = kept.with_suffix(".npz"), environment(config.workers.device)
    if fetched(kept) and fetched(kept_answers):
        try:
            found, answers = read_stored(kept, KEPT, AGAIN), Answers.load(kept_answers)
            return found.figures, answers, tell_other(shown(kept), found.environment, here)
        except DamagedFile as error:
            say(f"{error} The figures are computed again.")
    alone, answers = audit_alone(subject), answers_of(subject)
    figures = ModelFigures(alone.metrics, per_class_test_accuracy(subject), alone.curves)
    answers.save(kept_answers)
    write_text(kept, KEPT.dump_json(Kept(figures, here)).decode())
    return figures, answers, ""


def _untrained(config: RunConfig, split: ForgetSplit, device: torch.device) -> Mapping[str, Sequence[float]]:
    """Return how fast a random initialisation learns what the audited models relearn."""
    if "relearning" not in audits_of(split.forget.kind, config.audit):
        return {}
    kept = config.store / "audits" / f"untrained-{config.figures_key('untrained', split.forget.digest)}.json"
    curves = TypeAdapter(dict[str, list[float]])
    if not fetched(kept):
        model = fresh_model(config, split.reader, config.seed + Salt.UNTRAINED_FIGURES).to(device)
        found = relearning(Subject(model, split, config.audit, config.seed))
        write_text(kept, curves.dump_json({k: list(v) for k, v in found.curves.items()}).decode())
    return read_stored(kept, curves, AGAIN)


@dataclass(frozen=True)
class Evidence:
    """Figures and answers of several models, by role, on the rows of one request; the original is one of them."""

    claim: Claim
    config: AuditConfig
    alone: Mapping[str, ModelFigures]
    answers: Mapping[str, Answers]
    elsewhere: Sequence[str] = ()
    """Lines about models and figures that another environment made."""

    def figures(self, role: str, references: Sequence[str]) -> Figures:
        """Return all metrics of one model; distances are to ``references`` other than itself."""
        others = [self.answers[r] for r in references if r != role]
        kind, original = self.claim.kind, self.answers["original"]
        return {**self.alone[role].metrics, **audit_against(kind, self.config, self.answers[role], others, original)}

    def without(self, oracles: Sequence[str]) -> Callable[[int], list[Figures]]:
        """Return a function for the held-out control.

        It returns the figures of all oracles but one, none of them compared with that one.
        """

        def others(number: int) -> list[Figures]:
            rest = [o for i, o in enumerate(oracles) if i != number]
            return [self.figures(o, rest) for o in rest]

        return others


def gather(
    config: RunConfig,
    split: ForgetSplit,
    folders: Mapping[str, Path],
    device: torch.device,
    progress: Callable[[str], None] = lambda role: None,
    keep: Callable[[str, Subject], None] = lambda role, subject: None,
) -> Evidence:
    """Audit every model alone.

    Args:
        config: Configuration of the run.
        split: The sets of the run.
        folders: Role -> folder of the model.
        device: Device of the models.
        progress: Called with the role before each model.
        keep: Called with the role and each model's predictions.

    Returns:
        Figures and answers of all models.
    """
    alone: dict[str, ModelFigures] = {}
    answers: dict[str, Answers] = {}
    elsewhere = []
    for role, folder in folders.items():
        progress(role)
        subject = Subject(load_model(config, split.reader, folder).to(device), split, config.audit, config.seed)
        alone[role], answers[role], told = _figures(config, subject, read_meta(folder))
        elsewhere += [line for line in (made_elsewhere(config, folder), told) if line]
        keep(role, subject)
    return Evidence(claim_of(config, split), config.audit, alone, answers, elsewhere)


def measure_alone(config: RunConfig, forget_file: Path, folder: Path, device: torch.device) -> None:
    """Audit one model alone and store its figures, which ``run_audit`` with the same settings then finds.

    Args:
        config: Configuration of the run.
        forget_file: File of the forget set.
        folder: Folder of the model.
        device: Device of the model.
    """
    split = open_split(config, open_reader(config), forget_file)
    subject = Subject(load_model(config, split.reader, folder).to(device), split, config.audit, config.seed)
    _figures(config, subject, read_meta(folder))


def claim_of(config: RunConfig, split: ForgetSplit) -> Claim:
    """Describe what the verdict is about."""
    forget = split.forget
    return Claim(forget.kind, forget.classes, config.model.reads_captions, split.reader.manifest.num_classes > 1)


def run_audit(
    config: RunConfig,
    forget_file: Path,
    folders: Mapping[str, Path],
    oracles: Sequence[Path],
    device: torch.device,
    progress: Callable[[str], None] = lambda role: None,
    samples: bool = True,
) -> tuple[AuditReport, pa.Table | None]:
    """Audit the original and the unlearned model against the oracles.

    Args:
        config: Configuration of the run.
        forget_file: File of the forget set.
        folders: Folders of the roles ``original`` and ``unlearned``.
        oracles: Folders of the oracles.
        device: Device of the models.
        progress: Called with the role before each model.
        samples: Whether a table of samples is made.

    Returns:
        The report and, with ``samples``, a table with one row per evaluated sample of each model.
    """
    split = open_split(config, open_reader(config), forget_file)
    roles = {**folders, **{f"oracle_{i}": path for i, path in enumerate(oracles)}}
    tables = []

    def keep(role: str, subject: Subject) -> None:
        if samples and role in ("original", "unlearned", "oracle_0"):
            tables.append(sample_table(role, subject))

    evidence = gather(config, split, roles, device, progress, keep)
    report = _report(config, split, roles, evidence, _untrained(config, split, device))
    return report, pa.concat_tables(tables) if tables else None


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
        "forget_reported",
        "forget_stop",
        "stop_forget",
        "stop_retain",
        "holdout",
        "retain_train",
        "forget_test",
        "retain_test",
    )
    retained = split.num_train - len(split.forget.rows)
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


def run_proxy(
    config: RunConfig, forget_file: Path, original: Path, unlearned: Path, device: torch.device
) -> dict[str, float]:
    """Compute the parts of ``proxy`` for a saved model.

    The figures of both models are stored as by ``run_audit``.

    Args:
        config: Configuration of the run.
        forget_file: File of the forget set.
        original: Folder of the original.
        unlearned: Folder of the unlearned model.
        device: Device of the models.

    Returns:
        Name of the part -> points.
    """
    split = open_split(config, open_reader(config), forget_file)
    found = gather(config, split, {"original": original, "unlearned": unlearned}, device)
    (before, after), answers = (found.alone["original"], found.alone["unlearned"]), found.answers
    forgotten = list(split.forget.classes)
    return proxy(found.claim.kind, after.metrics, before.metrics, answers["unlearned"], answers["original"], forgotten)
