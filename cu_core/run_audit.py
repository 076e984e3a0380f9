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
from cu_core.audit.neighbours import received
from cu_core.audit.oracle_gap import Figures, spreads_of
from cu_core.audit.proxy import proxy
from cu_core.audit.relearning import relearning
from cu_core.audit.report import (
    REPORT_VERSION,
    AuditReport,
    ModelFigures,
    absent_metrics,
    compare_models,
    figure_rows,
    per_class_test_accuracy,
    sample_table,
)
from cu_core.audit.spread import Basis, Limits, Spread, priors_of
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim, audit_against, audit_alone, audits_of
from cu_core.audit.verdict import Rule
from cu_core.audit.zero_shot import digests_of
from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.data.forget_split import ForgetSplit
from cu_core.files import digest_of, write_text
from cu_core.places import there
from cu_core.run import fresh_model, load_model, open_reader, open_split

FIGURES = TypeAdapter(ModelFigures)
SPREADS = TypeAdapter(dict[str, Spread])
LIMITS = TypeAdapter(Limits)
OF_THE_COMPARISON = ("oracles", "margin_points", "family_error")
"""Settings of an audit on which no single model's figures depend."""

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn")


def _pool(config: RunConfig) -> dict[str, int]:
    """Where retain rows are not drawn from all shards: from how many."""
    return {"retain_shards": config.data.retain_shards} if config.data.retain_shards else {}


def _figures(config: RunConfig, subject: Subject, meta: Mapping[str, Any]) -> tuple[ModelFigures, Answers]:
    """What one model alone shows, kept in the store: the original and the oracles are audited once per request."""
    settings = {k: v for k, v in asdict(config.audit).items() if k not in OF_THE_COMPARISON} | _pool(config)
    model = [meta["files"], meta["preprocess"], config.model_by_content() | {"weights": None}]
    others = digests_of(config.audit.other_data)
    key = digest_of([model, subject.split.forget.digest, settings, others, config.seed, REPORT_VERSION])
    kept = config.store / "audits" / f"{key}.json"
    kept_answers = kept.with_suffix(".npz")
    if there(kept) and there(kept_answers):
        return FIGURES.validate_json(kept.read_text()), Answers.load(kept_answers)
    found, answers = audit_alone(subject), answers_of(subject)
    figures = ModelFigures(found.metrics, per_class_test_accuracy(subject), found.curves)
    answers.save(kept_answers)
    write_text(kept, FIGURES.dump_json(figures).decode())
    return figures, answers


def _untrained(config: RunConfig, split: ForgetSplit, device: torch.device) -> Mapping[str, Sequence[float]]:
    """How fast a random initialisation learns what the audited models relearn."""
    if "relearning" not in audits_of(split.forget.kind, config.audit):
        return {}
    settings = asdict(config.audit) | _pool(config)
    key = digest_of([config.oracle_key("", split.forget.digest, 0), settings, REPORT_VERSION])
    kept = config.store / "audits" / f"untrained-{key}.json"
    curves = TypeAdapter(dict[str, list[float]])
    if not there(kept):
        model = fresh_model(config, split.reader, config.seed + 700).to(device)
        found = relearning(Subject(model, split, config.audit, config.seed))
        write_text(kept, curves.dump_json({k: list(v) for k, v in found.curves.items()}).decode())
    return curves.validate_json(kept.read_text())


@dataclass(frozen=True)
class Evidence:
    """What several models show, by role, on the rows of one request; the original is one of them."""

    claim: Claim
    config: AuditConfig
    alone: Mapping[str, ModelFigures]
    answers: Mapping[str, Answers]

    def figures(self, role: str, references: Sequence[str]) -> Figures:
        """All metrics of one model; distances are to ``references`` other than itself."""
        others = [self.answers[r] for r in references if r != role]
        kind, original = self.claim.kind, self.answers["original"]
        return {**self.alone[role].metrics, **audit_against(kind, self.config, self.answers[role], others, original)}

    def without(self, oracles: Sequence[str]) -> Callable[[int], list[Figures]]:
        """For the held-out control: figures of all oracles but one, none of them compared with that one."""

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
    """Audit every model alone; ``keep`` sees each with its predictions."""
    alone: dict[str, ModelFigures] = {}
    answers: dict[str, Answers] = {}
    for role, folder in folders.items():
        progress(role)
        subject = Subject(load_model(config, split.reader, folder).to(device), split, config.audit, config.seed)
        alone[role], answers[role] = _figures(config, subject, read_meta(folder))
        keep(role, subject)
    return Evidence(claim_of(config, split), config.audit, alone, answers)


def claim_of(config: RunConfig, split: ForgetSplit) -> Claim:
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
    """Audit ``folders["original"]`` and ``folders["unlearned"]`` against the oracles.

    Returns the report and, with ``samples``, a table with a row per evaluated sample of each model.
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


def ruled(
    config: RunConfig, split: ForgetSplit, claim: Claim, oracles: Sequence[Figures], remember: bool = True
) -> tuple[Rule, Basis]:
    """The rule with what other requests on the same data have shown, and, with ``remember``, this one added to it."""
    folder = config.store / "spreads" / _spread_key(config, split)
    own = folder / f"{split.forget.digest}.json"
    requests = [SPREADS.validate_json(f.read_text()) for f in sorted(folder.glob("*.json")) if f != own]
    if remember and len(oracles) >= 2:
        shown = spreads_of(claim.judged, oracles)
        before = SPREADS.validate_json(own.read_text()) if there(own) else {}
        if max((s.freedom for s in before.values()), default=0) < len(oracles) - 1:
            write_text(own, SPREADS.dump_json(shown).decode())
    limits = config.store / "limits" / f"{_spread_key(config, split)}.json"
    found = LIMITS.validate_json(limits.read_text()) if there(limits) else None
    return Rule(claim, oracles, config.audit, priors_of(requests)), Basis(len(requests), found)


def _spread_key(config: RunConfig, split: ForgetSplit) -> str:
    """Digest of what makes requests alike: data, training, audits, kind, and number of classes and rows (by powers of
    two)."""
    forget = split.forget
    shape = [forget.kind, len(forget.classes), int(np.log2(len(forget.rows)))]
    settings = {k: v for k, v in asdict(config.audit).items() if k not in OF_THE_COMPARISON} | _pool(config)
    return digest_of([config.oracle_key(split.reader.manifest.digest, "", 0), shape, settings, REPORT_VERSION])


def _report(
    config: RunConfig,
    split: ForgetSplit,
    roles: Mapping[str, Path],
    evidence: Evidence,
    untrained: Mapping[str, Sequence[float]],
) -> AuditReport:
    """All that a reader needs, from what the models show and what their folders record."""
    manifest = split.reader.manifest
    others = [role for role in roles if role.startswith("oracle_")]
    figures = {role: evidence.figures(role, others) for role in roles}
    alone, answers = evidence.alone, evidence.answers
    original, unlearned, oracle_figures = figures["original"], figures["unlearned"], [figures[o] for o in others]
    rule, basis = ruled(config, split, evidence.claim, oracle_figures)
    gap, nothing, verdict = compare_models(original, unlearned, rule, evidence.without(others))
    meta = {role: read_meta(folder, verify=False) for role, folder in roles.items()}
    result = meta["unlearned"]["result"]
    about = {"data": manifest.digest, "request": split.forget.digest, "config": config.result_digest(manifest.digest)}
    digests = about | {role: m["files"]["model.safetensors"][:16] for role, m in meta.items()}
    return AuditReport(
        kind=evidence.claim.kind,
        request=asdict(config.request),
        class_names=manifest.class_names,
        sizes=_sizes(split),
        gap=gap,
        doing_nothing_gap=nothing,
        verdict=verdict,
        basis=basis,
        rows=figure_rows(original, unlearned, oracle_figures, rule),
        absent=absent_metrics(evidence.claim.kind, unlearned, len(others), config.audit),
        per_class={role: f.per_class for role, f in alone.items()},
        received={r: (100 * received(a)).tolist() for r, a in answers.items() if len(a.unseen)},
        curves=_curves(alone, untrained),
        cost=_cost(result, [meta[o]["result"] for o in others]),
        stop=result["stop"],
        leaks=result["leaks"],
        retain_ids_checked=result["retain_ids_checked"],
        digests=digests,
        versions={"cu": __version__, "python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        settings=as_plain(config),
    )


def _curves(
    alone: Mapping[str, ModelFigures], untrained: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, list[float]]]:
    """Metric -> role -> values."""
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
    """Rows forwarded in training steps, stop-check rows beside them, steps and seconds."""
    cost = {
        "steps": unlearn["steps"],
        "forget_rows": unlearn["forget_rows"],
        "retain_rows": unlearn["retain_rows"],
        "frozen_rows": unlearn.get("frozen_rows", 0),
        "prepare_rows": unlearn.get("prepare_rows", 0),
        "stop_rows": unlearn["stop"].get("rows", 0) + unlearn.get("unseen_rows", 0),
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
    """The parts of ``proxy`` for a model on disk; both models' figures are kept as by ``run_audit``."""
    split = open_split(config, open_reader(config), forget_file)
    found = gather(config, split, {"original": original, "unlearned": unlearned}, device)
    (before, after), answers = (found.alone["original"], found.alone["unlearned"]), found.answers
    forgotten = list(split.forget.classes)
    return proxy(found.claim.kind, after.metrics, before.metrics, answers["unlearned"], answers["original"], forgotten)
