"""Figures and answers of several models, each audited alone and stored by digest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from cu_core.audit.answers import Answers, answers_of
from cu_core.audit.oracle_gap import Figures
from cu_core.audit.relearning import relearning
from cu_core.audit.report import ModelFigures, per_class_test_accuracy
from cu_core.audit.subject import AuditConfig, Part, Subject, predict_part
from cu_core.audit.table import Claim, audit_against, audit_alone, audits_of
from cu_core.audit.zero_shot import digests_of
from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.data.forget_split import ForgetSplit
from cu_core.environment import environment, say, tell_other
from cu_core.errors import DamagedFile
from cu_core.files import write_text
from cu_core.run import fresh_model, load_model, made_elsewhere
from cu_core.salts import Salt
from cu_core.storage import fetched, shown
from cu_core.stored import read_stored
from cu_core.workspace import Workspace


@dataclass(frozen=True)
class Kept:
    """Figures of one model alone, as they are stored."""

    figures: ModelFigures
    environment: Mapping[str, str]


KEPT = TypeAdapter(Kept)
AGAIN = "delete it, and it is made again"


def figures_file(config: RunConfig, split: ForgetSplit, meta: Mapping[str, Any]) -> Path:
    """Return the file of the figures of one model; its answers lie beside it, as npz."""
    halved = split.halve and split.forget.kind == "sample"
    model = [meta["files"], meta["preprocess"], halved, *digests_of(config.audit.other_data)]
    return config.store / "audits" / f"{config.figures_key(model, split.forget.digest)}.json"


def figures_of(
    config: RunConfig, split: ForgetSplit, meta: Mapping[str, Any], open_subject: Callable[[], Subject]
) -> tuple[ModelFigures, Answers, str]:
    """Return the figures and answers of one model alone, and a line if another environment made them.

    They are stored, so the original and the oracles are audited once per request.

    Args:
        config: Configuration of the run.
        split: Sets of the request.
        meta: Record of the model.
        open_subject: Called if nothing is stored.
    """
    kept = figures_file(config, split, meta)
    kept_answers, here = kept.with_suffix(".npz"), environment(config.workers.device)
    if fetched(kept) and fetched(kept_answers):
        try:
            found, answers = read_stored(kept, KEPT, AGAIN), Answers.load(kept_answers)
            return found.figures, answers, tell_other(shown(kept), found.environment, here)
        except DamagedFile as error:
            say(f"{error} The figures are computed again.")
    subject = open_subject()
    alone, answers = audit_alone(subject), answers_of(subject)
    figures = ModelFigures(alone.metrics, per_class_test_accuracy(subject), alone.curves)
    answers.save(kept_answers)
    write_text(kept, KEPT.dump_json(Kept(figures, here)).decode())
    return figures, answers, ""


def untrained_curves(config: RunConfig, split: ForgetSplit, device: torch.device) -> Mapping[str, Sequence[float]]:
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
    workspace: Workspace,
    folders: Mapping[str, Path],
    device: torch.device,
    progress: Callable[[str], None] = lambda role: None,
    keep: Callable[[str, Callable[[], Subject]], None] = lambda role, open_subject: None,
) -> Evidence:
    """Audit every model alone.

    Args:
        workspace: Configuration, data and request.
        folders: Role -> folder of the model.
        device: Device of the models.
        progress: Called with the role before each model.
        keep: Called with the role of each model, and a function that returns the model with its predictions. Without
            such a call, a model whose figures are stored is not loaded.

    Returns:
        Figures and answers of all models.
    """
    config, split = workspace.config, workspace.split
    alone: dict[str, ModelFigures] = {}
    answers: dict[str, Answers] = {}
    elsewhere = []
    for role, folder in folders.items():
        progress(role)
        subject = subject_of(workspace, folder, device)
        alone[role], answers[role], told = figures_of(config, split, read_meta(folder), subject)
        elsewhere += [line for line in (made_elsewhere(config, folder), told) if line]
        keep(role, subject)
    return Evidence(claim_of(config, split), config.audit, alone, answers, elsewhere)


def subject_of(
    workspace: Workspace, folder: Path, device: torch.device, parts: Sequence[Part] = ()
) -> Callable[[], Subject]:
    """Return a function that loads a model for its audit, once."""
    config, split = workspace.config, workspace.split

    @functools.cache
    def load() -> Subject:
        model = load_model(config, split.reader, folder).to(device)
        return Subject(model, split, config.audit, config.seed, parts)

    return load


def is_measured(workspace: Workspace, folder: Path) -> bool:
    """Return whether the figures of a model are stored."""
    kept = figures_file(workspace.config, workspace.split, read_meta(folder, verify=False))
    return fetched(kept) and fetched(kept.with_suffix(".npz"))


def measure_part(workspace: Workspace, folder: Path, device: torch.device, number: int, count: int) -> Part:
    """Predict one part of the rows that the audit of a model needs.

    Args:
        workspace: Configuration, data and request.
        folder: Folder of the model.
        device: Device of the model.
        number: Number of the part, from 0.
        count: Number of parts.

    Returns:
        The predictions, for ``measure_alone``.
    """
    model = load_model(workspace.config, workspace.reader, folder).to(device)
    return predict_part(model, workspace.split, number, count)


def measure_alone(
    workspace: Workspace, folder: Path, device: torch.device, parts: Sequence[Part] = ()
) -> Callable[[], Subject]:
    """Audit one model alone and store its figures, which ``run_audit`` with the same settings then finds.

    Args:
        workspace: Configuration, data and request.
        folder: Folder of the model.
        device: Device of the model.
        parts: What ``measure_part`` returned for every part; without them, everything is predicted here.

    Returns:
        A function that returns the model with its predictions.
    """
    subject = subject_of(workspace, folder, device, parts)
    figures_of(workspace.config, workspace.split, read_meta(folder), subject)
    return subject


def claim_of(config: RunConfig, split: ForgetSplit) -> Claim:
    """Describe what the verdict is about."""
    forget = split.forget
    labelled = split.reader.manifest.num_classes > 1
    return Claim(forget.kind, forget.classes, config.model.reads_captions, labelled, config.audit.more_audits)
