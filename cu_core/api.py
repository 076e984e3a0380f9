"""The library from a notebook or another trainer: plain modules and data sets in, a model and a verdict out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import nn

from cu_core.audit.answers import answers_of
from cu_core.audit.oracle_gap import OracleGap
from cu_core.audit.report import ModelFigures, Row, compare_models, figure_rows, per_class_test_accuracy
from cu_core.audit.subject import Subject
from cu_core.audit.table import audit_alone
from cu_core.audit.verdict import Rule, Verdict
from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.loader import Batches, UnlearnStream
from cu_core.data.requests import ForgetSet
from cu_core.data.shard_reader import ShardReader
from cu_core.dist import seed_everything
from cu_core.errors import UserError
from cu_core.evidence import Evidence, claim_of
from cu_core.methods.finetune import FineTune
from cu_core.models.batch_norm import set_batch_norm
from cu_core.models.classifier import Classifier, JointForward
from cu_core.models.memory_format import choose_memory_format
from cu_core.models.preprocess import Preprocess
from cu_core.salts import Salt
from cu_core.types import StepReport
from cu_core.unlearn.loop import Loop, LoopResult, frozen, run_loop
from cu_core.unlearn.stopping import Stopper

OnStep = Callable[[StepReport], None]


@dataclass(frozen=True)
class Audit:
    """Result of the audits of an unlearned model."""

    verdict: Verdict
    rows: tuple[Row, ...]
    """Every metric of original, unlearned model and oracles, in points."""
    gap: OracleGap | None
    """Mean distance to the oracles; absent without oracles."""


def wrap(module: nn.Module, data: ShardReader, *, embedding_layer: str, hidden_layer: str | None = None) -> Classifier:
    """Wrap a plain module for the library; its weights are shared, not copied.

    Args:
        module: Maps normalised images, float ``(N, channels, height, width)``, to logits ``(N, C)``.
        data: Gives the size, mean and standard deviation of the images.
        embedding_layer: Name of the layer whose output is the embedding, e.g. ``avgpool``.
        hidden_layer: Name of an earlier layer, for probes at a second depth. Default: the embedding layer.

    Returns:
        A classifier that takes raw images.

    Raises:
        UserError: There is no layer of that name, the module gives another number of logits than the data set has
            classes, or the images of the data set are stored encoded.
    """
    manifest = data.manifest
    if manifest.image_shape is None:
        raise UserError("wrap: the images of this data set are encoded; pack them at one size.")
    preprocess = Preprocess(manifest.image_shape[1], manifest.pixel_mean, manifest.pixel_std)
    choose_memory_format(module, preprocess.channels)
    model = Classifier(module, embedding_layer, hidden_layer or embedding_layer, preprocess)
    modes = [(part, part.training) for part in module.modules()]
    device = next(module.parameters(), torch.empty(0)).device
    with torch.no_grad():
        logits = model.eval()(torch.zeros(2, *manifest.image_shape, dtype=torch.uint8, device=device)).logits
    for part, training in modes:
        part.training = training
    if logits.shape != (2, manifest.num_classes):
        raise UserError(
            f"wrap: the module must map 2 images to logits (2, {manifest.num_classes}), one a class of the data set; "
            f"it gives {tuple(logits.shape)}."
        )
    return model


def train_model(
    model: Classifier,
    data: ShardReader,
    without: ForgetSet | None = None,
    *,
    seed: int = 0,
    on_step: OnStep = lambda report: None,
    **settings: Any,
) -> LoopResult:
    """Train a model in place: an original, or an oracle if ``without`` is given.

    It lowers the mean cross-entropy of logits (N, C) and labels (N,) over the training rows. Source: an oracle is
    exact unlearning, Cao and Yang 2015, Towards Making Systems Forget with Machine Unlearning.

    Args:
        model: A fresh model of ``wrap``.
        data: The packed data set: uint8 images (N, channels, height, width), integer labels (N,).
        without: Forget set whose rows are left out.
        seed: Seed of the order of the rows.
        on_step: Called after every step.
        **settings: Sections of a run's configuration, e.g. ``train={"epochs": 3}``.

    Returns:
        The result of the training loop.

    Raises:
        UserError: The model is not wrapped, a setting is not known or has no effect here, or ``data`` has no val or
            test rows.
        NonFiniteError: The training diverged. The weights are those before the step.
    """
    _check_wrapped(model)
    config = config_from(_only(settings, "train", "batch_norm"))
    empty = np.empty(0, np.int64)
    split = _split(config, data, without or ForgetSet("sample", (), empty, empty, data.manifest.digest), seed)
    set_batch_norm(model, config.batch_norm)
    batch = min(config.train.batch, split.num_retain)
    batches = Batches(forget_batch=0, retain_batch=batch, omega=1, augment=config.train.augment)
    seed_everything(seed)
    loop = Loop(
        model=model,
        forward=JointForward(model),
        method=FineTune(),
        optimizer=config.train.optimizer,
        stream=UnlearnStream(split, batches, seed, model.tokenize),
        max_steps=max(1, round(config.train.epochs * split.num_retain / batch)),
        on_step=on_step,
    )
    return run_loop(loop)


def unlearn_model(
    original: Classifier,
    data: ShardReader,
    forget: ForgetSet,
    *,
    untrained: Classifier | None = None,
    seed: int = 0,
    on_step: OnStep = lambda report: None,
    **settings: Any,
) -> Classifier:
    """Return a copy of the original that has unlearned the forget set.

    Source: the default method is that of Lee et al. 2025, arXiv 2401.10458, eq. 5 to 7. Every other method names its
    own: ``METHODS[name].source`` (``cu_core.methods.table``).

    Args:
        original: The trained model. It is not changed.
        data: The data set that the original was trained on: uint8 images (N, channels, height, width), integer labels
            (N,).
        forget: The rows to forget.
        untrained: A fresh model, for methods that need one.
        seed: Seed of the order of the rows and of all that a method draws.
        on_step: Called after every step.
        **settings: Sections of a run's configuration, e.g. ``method={"name": "scrub"}, optimizer={"lr": 0.001}``.
            Missing values are the defaults of the method for this kind of request.

    Returns:
        The unlearned model.

    Raises:
        UserError: The model is not wrapped, a setting is not known or has no effect here, or the method cannot serve
            this kind of request or needs a model that is not given.
        NonFiniteError: The run diverged.
    """
    config = _config(forget, _only(settings, "method", "optimizer", "batches", "stop", "batch_norm", "preset", "audit"))
    _check_wrapped(original)
    config.method.check(forget.kind)
    needs = config.method.needs()
    if "untrained model" in needs and untrained is None:
        raise UserError(f"{config.method.name} needs an untrained model: give untrained=MODEL.")
    split = _split(config, data, forget, seed)
    batches = config.batches_for(data.manifest.num_classes)
    model = copy.deepcopy(original)
    set_batch_norm(model, config.batch_norm)
    seed_everything(seed)
    loop = Loop(
        model=model,
        forward=JointForward(model),
        method=config.method,
        optimizer=config.optimizer,
        stream=UnlearnStream(split, batches, seed + Salt.UNLEARN_ORDER, model.tokenize),
        max_steps=config.stop.max_steps,
        stopper=Stopper(config.stop, split) if config.stop.rule != "none" else None,
        reference=frozen(copy.deepcopy(original)) if "frozen original" in needs else None,
        untrained=copy.deepcopy(untrained) if "untrained model" in needs else None,
        on_step=on_step,
    )
    run_loop(loop)
    return model


def audit_models(
    original: Classifier,
    unlearned: Classifier,
    oracles: Sequence[Classifier],
    data: ShardReader,
    forget: ForgetSet,
    *,
    seed: int = 0,
    **settings: Any,
) -> Audit:
    """Compare an unlearned model with the original and with oracles, which were trained without the forget set.

    All models map uint8 images (N, channels, height, width) to logits (N, C). Source: the rule of the verdict is that
    of ``cu_core.audit.verdict``; every metric names its own (``METRICS``, `cu explain METRIC`). The tug of war of the
    gap is that of Zhao et al. 2024, What makes unlearning hard and what to do about it, eq. 1.

    Args:
        original: The model before unlearning.
        unlearned: The model after unlearning.
        oracles: Retrained models. A verdict needs at least three.
        data: The data set.
        forget: The forget set.
        seed: Seed of all that the audits draw.
        **settings: Sections of a run's configuration, e.g. ``audit={"max_rows": 500}``.

    Returns:
        The verdict, every metric, and the distance to the oracles.

    Raises:
        UserError: A model is not wrapped, a setting is not known or has no effect here, or ``data`` lacks rows that an
            audit reads.
    """
    _check_wrapped(original, unlearned, *oracles)
    config = _config(forget, _only(settings, "audit"))
    split = _split(config, data, forget, seed)
    others = [f"oracle_{number}" for number in range(len(oracles))]
    models = {"original": original, "unlearned": unlearned, **dict(zip(others, oracles, strict=True))}
    alone, answers = {}, {}
    for role, model in models.items():
        subject = Subject(model, split, config.audit, seed)
        found, answers[role] = audit_alone(subject), answers_of(subject)
        alone[role] = ModelFigures(found.metrics, per_class_test_accuracy(subject), found.curves)
    evidence = Evidence(claim_of(config, split), config.audit, alone, answers)
    figures = {role: evidence.figures(role, others) for role in models}
    rule = Rule(evidence.claim, [figures[o] for o in others], config.audit)
    before, after = figures["original"], figures["unlearned"]
    gap, _, verdict = compare_models(before, after, rule, evidence.without(others))
    return Audit(verdict, figure_rows(before, after, rule.oracles, rule), gap)


def save_model(model: Classifier, file: str | Path) -> None:
    """Write the weights of the plain module as safetensors, each tensor in its own shape; missing folders are made.

    Args:
        model: The wrapped model.
        file: The file to write, e.g. ``unlearned.safetensors``. One that exists is replaced.

    Raises:
        UserError: The model is not wrapped, or the file cannot be written, e.g. because it is a folder.
    """
    _check_wrapped(model)
    if Path(file).is_dir():
        raise UserError(f"{file} must be a file, it is a folder; give e.g. {Path(file) / 'model.safetensors'}.")
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        safetensors.save_model(model.body, str(file))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} cannot be written: {error}; give another place.") from error


def load_model(model: Classifier, file: str | Path) -> Classifier:
    """Load weights that ``save_model`` wrote into a model of the same architecture.

    Args:
        model: The model; it is changed in place.
        file: The safetensors file.

    Returns:
        ``model``.

    Raises:
        UserError: There is no such file, it is no safetensors file, or the weights belong to another architecture.
    """
    _check_wrapped(model)
    if not Path(file).is_file():
        raise UserError(f"{file}: no such file.")
    try:
        safetensors.load_model(model.body, str(file))
    except SafetensorError as error:
        raise UserError(f"{file} must be a file that save_model wrote; it is no safetensors file ({error}).") from error
    except RuntimeError as error:
        raise UserError(f"{file}: {' '.join(str(error).split())}") from error
    return model


def _check_wrapped(*models: Classifier) -> None:
    for model in models:
        if not isinstance(model, Classifier):
            raise UserError(f"a {type(model).__name__} is a plain module; give wrap(module, data, ...).")


def _only(settings: Mapping[str, Any], *parts: str) -> Mapping[str, Any]:
    """Raises: UserError for a part that has no effect here, by a known name; others are told with the nearest."""
    known = {field.name for field in fields(RunConfig)}
    if wrong := [part for part in settings if part in known and part not in parts]:
        raise UserError(f"{wrong[0]}: has no effect here; parts that have: {', '.join(parts)}.")
    return settings


def _config(forget: ForgetSet, settings: Mapping[str, Any]) -> RunConfig:
    """Merge settings with the defaults for this kind of request."""
    request = (
        {"kind": "by_class", "classes": list(forget.classes)} if forget.classes else {"kind": "by_random", "count": 1}
    )
    return config_from({**settings, "request": request})


def _split(config: RunConfig, data: ShardReader, forget: ForgetSet, seed: int) -> ForgetSplit:
    return ForgetSplit(
        data,
        forget,
        seed=seed,
        limits=RowLimits(config.audit.stop_rows, config.audit.max_rows),
        halve=config.halves_forget_rows,
    )
