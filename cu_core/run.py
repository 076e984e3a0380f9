"""The code of every worker: configuration -> parts -> the loop; the same for Ray, ``torchrun`` and one process."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cu_core.checkpoint import TrainState, copy_weights, load_weights, open_weights, read_meta, save_model
from cu_core.config import RunConfig
from cu_core.data.forget_split import ForgetSplit
from cu_core.data.loader import Batches, UnlearnStream
from cu_core.data.shard_reader import ShardReader
from cu_core.data.views import ViewStream
from cu_core.dist import rank, seed_everything, world_size
from cu_core.environment import environment, say, tell_other
from cu_core.methods.base import Preparation
from cu_core.methods.encoder import head_name, put_head, put_projection
from cu_core.methods.objectives import objective_method
from cu_core.models.batch_norm import set_batch_norm
from cu_core.models.build import ModelConfig, build_model, preprocess_for
from cu_core.models.classifier import Classifier, Forward, JointForward
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.match_weights import Fit, restore, restore_foreign
from cu_core.models.preprocess import Preprocess
from cu_core.models.text_cache import recall_texts, store_texts
from cu_core.models.trainable import Trainable, adapter_of, choose_trainable, merge_adapters, recompute_blocks
from cu_core.models.transformers_classifier import folder_of_transformers, weights_of_transformers
from cu_core.salts import Salt
from cu_core.source import source_digest
from cu_core.storage import shown
from cu_core.types import StepReport, Tokenize
from cu_core.unlearn.loop import Loop, LoopResult, frozen, run_loop
from cu_core.unlearn.stopping import StopConfig, Stopper
from cu_core.unlearn.trace import run_traced
from cu_core.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What differs between one process, ``torchrun`` and Ray."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module
    """Data-parallel wrapper."""
    save: Callable[[TrainState], None] = lambda state: None
    latest: Callable[[], TrainState | None] = lambda: None
    on_step: Callable[[StepReport], None] = lambda report: None
    wants_checkpoint: Callable[[], bool] = lambda: False
    """Polled at every step on every rank; if any rank returns true, all ranks save a checkpoint."""


def fresh_model(config: RunConfig, reader: ShardReader, seed: int) -> Classifier:
    """Build the run's model with fresh weights, or with those of ``model.start``."""
    manifest = reader.manifest
    preprocess = (
        None
        if config.model.reads_captions
        else preprocess_for(config.model, manifest.image_shape, manifest.pixel_mean, manifest.pixel_std)
    )
    model = build_model(config.model, manifest.class_names, preprocess, seed)
    model.objective = config.train.objective
    if isinstance(model, ImageTextClassifier):
        model.rows_at_once = config.workers.rows_at_once
    if start := _start_of(config.model):
        take_weights(model, config.model, start, "model.start")
    return model.double() if config.workers.precision == "float64" else model


def _start_of(model: ModelConfig) -> str | None:
    """Return the file or folder of the weights from which training starts; libraries load their own themselves."""
    if model.library == "transformers" and model.weights == "pretrained":
        return model.name.partition(":")[2]
    return model.start


def take_weights(model: Classifier, config: ModelConfig, path: str, option: str) -> None:
    """Load weights of any trainer into the model and log what was renamed, left out or converted.

    Args:
        model: The model; it is changed in place.
        config: Configuration of the model.
        path: File or folder.
        option: Setting that names it, for messages.

    Raises:
        UserError: The file cannot be read, or holds another model.
    """
    fit = Fit(key_map=config.key_map, new_head=config.new_head and option == "model.start", option=option)
    folder = folder_of_transformers(path) if config.library == "transformers" else None
    if folder is not None:
        weights, notes = weights_of_transformers(folder), []
    else:
        found = open_weights(Path(path), config.weights_key)
        weights, notes = found.weights, list(found.notes)
    for line in [*notes, *restore_foreign(model, fit, weights, path)]:
        say(line)


def load_model(config: RunConfig, reader: ShardReader, folder: Path) -> Classifier:
    """Load a saved model with the preprocessing that it was saved with.

    Args:
        config: Configuration of the run.
        reader: The data set.
        folder: Folder of the model.

    Returns:
        The model.

    Raises:
        UserError: The folder holds another model.
    """
    made_elsewhere(config, folder)
    model = fresh_model(config, reader, config.seed)
    model.preprocess = Preprocess.from_meta(read_meta(folder)["preprocess"])
    restore(model, load_weights(folder), str(folder))
    return model


def made_elsewhere(config: RunConfig, folder: Path) -> str:
    """Log once if a saved model was made in another environment; return the line, else an empty text."""
    made = read_meta(folder, verify=False).get("environment")
    return tell_other(shown(folder), made, environment(config.workers.device))


def foreign_model(config: RunConfig, reader: ShardReader) -> Classifier:
    """Build the model with the weights that ``model.weights`` names.

    Raises:
        UserError: The weights belong to another model.
    """
    model = fresh_model(config, reader, config.seed)
    take_weights(model, config.model, str(config.model.weights), "model.weights")
    return model


def check_model(config: RunConfig, reader: ShardReader) -> None:
    """Check that the run's model can be built and takes the weights that ``model.weights`` names.

    It is built on the meta device, without memory for weights. Own models and published weights are made by code of
    others, which may not support that; they are built as they are.

    Raises:
        UserError: The model is unknown, or the weights belong to another.
    """
    wanted = config.model
    as_it_is = wanted.weights == "pretrained" or (":" in wanted.name and not wanted.reads_captions)
    as_it_is = as_it_is or wanted.image_tower is not None
    with contextlib.nullcontext() if as_it_is else torch.device("meta"):
        model = foreign_model(config, reader) if config.weights_file else fresh_model(config, reader, config.seed)
        if config.train.objective != "cross_entropy":
            head_name(model)


def tokenizer_of(config: RunConfig, reader: ShardReader) -> Tokenize | None:
    """Return the tokenizer of the run's model, which is built without memory for weights; ``None`` for a classifier."""
    if not config.model.reads_captions:
        return None
    with torch.device("meta"):
        return fresh_model(replace(config, model=replace(config.model, weights=None, start=None)), reader, 0).tokenize


def _save(
    folder: Path, model: Classifier, config: RunConfig, device: str, meta: Mapping[str, Any], replaces: bool
) -> None:
    adapter = adapter_of(model)
    merge_adapters(model)
    weights = copy_weights(model.state_dict())
    if rank() == 0:
        record = {
            "preprocess": asdict(model.preprocess),
            "model": asdict(config.model),
            "environment": environment(device),
            **meta,
        }
        save_model(folder, weights, record, adapter, replaces)


def run_train(workspace: Workspace, folder: Path, hooks: Hooks, number: int = 0) -> LoopResult:
    """Train a model on the rows that the request of the workspace leaves, and save it.

    Args:
        workspace: Configuration, data and request: that of an oracle, or none for the original.
        folder: Folder to write the model to.
        hooks: Device, wrapping and callbacks.
        number: Number of the oracle; 0 has the original's initialisation.

    Returns:
        The result of the loop.
    """
    config, reader = workspace.config, workspace.reader
    replaces = folder.exists()
    seed = config.seed + Salt.ORACLE * number
    split = workspace.with_config(replace(config, data=replace(config.data, retain_shards=None))).split
    model = fresh_model(config, reader, seed)
    set_batch_norm(model, "per_rank" if config.batch_norm == "per_rank" else "synced")
    train = config.train
    prepare_towers(model, train.trainable, config.workers.recompute)
    encoder = train.objective != "cross_entropy"
    head = put_projection(model, train.contrast.projection, seed) if encoder else None
    model.to(hooks.device)
    batch = min(train.batch, split.num_retain)
    batches = Batches(forget_batch=0, retain_batch=batch, omega=1, augment=train.augment)
    stream = (ViewStream if encoder else UnlearnStream)(split, batches, seed, model.tokenize)
    seed_everything(seed)
    result = run_loop(
        Loop(
            model=model,
            forward=over_workers(model, train.workers.shard, hooks),
            method=objective_method(train.objective, train.contrast),
            optimizer=train.optimizer,
            stream=stream,
            max_steps=max(1, round(train.epochs * split.num_retain / batch)),
            autocast=config.workers.precision == "bfloat16",
            on_step=hooks.on_step,
            save=hooks.save,
            wants_checkpoint=hooks.wants_checkpoint,
        ),
        hooks.latest(),
    )
    record: dict[str, Any] = {"result": asdict(result), "data_digest": reader.manifest.digest}
    if head is not None:
        prep = Preparation(model, None, split, seed, {})
        record["probe"] = put_head(model, head, prep, train.contrast.probe_rows)
    _save(folder, model, config, hooks.device.type, record, replaces)
    return result


def prepare_towers(model: Classifier, trainable: Trainable, recompute: bool) -> None:
    """Freeze the weights of an image-text model that are not trained, and add adapters; other models are unchanged."""
    if isinstance(model, ImageTextClassifier):
        choose_trainable(model, trainable)
        if recompute:
            recompute_blocks(model)


def over_workers(model: Classifier, spread: bool, hooks: Hooks) -> Forward:
    """Build the forward pass of the model, already on its device, whose gradient is that of all workers together.

    Args:
        model: The model.
        spread: Whether its weights are spread over the workers; on one process they are not.
        hooks: Wrapping of a model that is not spread.
    """
    if spread and world_size() > 1:
        model.spread()
        return JointForward(model)
    return hooks.wrap(JointForward(model))


def import_original(workspace: Workspace, folder: Path) -> None:
    """Save the weights that ``model.weights`` names as the original."""
    config, reader = workspace.config, workspace.reader
    replaces, model = folder.exists(), foreign_model(config, reader)
    meta = {"result": asdict(LoopResult()), "data_digest": reader.manifest.digest}
    _save(folder, model, config, "cpu", meta, replaces)


def run_unlearn(workspace: Workspace, original: Path, folder: Path, hooks: Hooks) -> LoopResult:
    """Unlearn; rank 0 writes the model and its record.

    Args:
        workspace: Configuration, data and request.
        original: Folder of the original.
        folder: Folder to write the unlearned model to.
        hooks: Device, wrapping and callbacks.

    Returns:
        The result of the loop.
    """
    config, reader, split = workspace.config, workspace.reader, workspace.split
    model = load_model(config, reader, original).to(hooks.device)
    method = config.method
    needs = method.needs()
    untrained = (
        fresh_model(config, reader, config.seed + Salt.UNTRAINED_MODEL).to(hooks.device)
        if "untrained model" in needs
        else None
    )
    reference = frozen(copy.deepcopy(model)) if "frozen original" in needs else None
    set_batch_norm(model, config.batch_norm)
    seed_everything(config.seed)
    prepare_towers(model, config.trainable, config.workers.recompute)
    model.to(hooks.device)
    texts = [config.model_by_content(), config.workers.precision, source_digest("trained")]
    recall_texts(model, config.store / "texts", texts)
    batches = config.batches_for(reader.manifest.num_classes)
    stream = UnlearnStream(split, batches, config.seed + Salt.UNLEARN_ORDER, model.tokenize)
    loop = Loop(
        model=model,
        forward=over_workers(model, config.workers.shard, hooks),
        method=method,
        optimizer=config.optimizer,
        stream=stream,
        max_steps=config.stop.max_steps,
        stopper=_stopper(config.stop, split),
        reference=reference,
        untrained=untrained,
        autocast=config.workers.precision == "bfloat16",
        checkpoint_every=config.workers.checkpoint_every,
        on_step=hooks.on_step,
        save=hooks.save,
        wants_checkpoint=hooks.wants_checkpoint,
    )
    result = run_traced(loop, hooks.latest(), folder.parent if config.workers.profile else None)
    store_texts(model, config.store / "texts", texts)
    meta = {"result": asdict(result), "data_digest": reader.manifest.digest}
    _save(folder, model, config, hooks.device.type, meta, replaces=True)
    return result


def _stopper(config: StopConfig, split: ForgetSplit) -> Stopper | None:
    return Stopper(config, split) if config.rule != "none" else None
