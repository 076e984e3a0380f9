"""What a run needs before it starts: the resolved request, and which models are there or must be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cu_core.audit.queries import check_columns
from cu_core.audit.zero_shot import digests_of
from cu_core.config import RunConfig
from cu_core.data.class_names import told_classes
from cu_core.data.concepts import ByConcept, find_concept
from cu_core.data.forget_split import ForgetSplit
from cu_core.data.requests import ForgetSet, load_forget_set, resolve_request, save_forget_set
from cu_core.data.schema import Manifest
from cu_core.data.set_hashes import SetHash, set_hashes, told_sets
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from cu_core.files import digest_of
from cu_core.memory import check_memory
from cu_core.run import check_model, made_elsewhere, tokenizer_of
from cu_core.storage import fetched, named_file, place, shown
from cu_core.workspace import Workspace


@dataclass(frozen=True)
class TrainJob:
    """One model to make, ``forget_file`` absent for the original."""

    label: str
    folder: Path
    forget_file: Path | None
    number: int = 0

    @property
    def done(self) -> bool:
        return fetched(self.folder / "meta.json")


@dataclass(frozen=True)
class Plan:
    """Everything resolved; the configuration of ``workspace`` holds absolute paths and addresses."""

    workspace: Workspace
    forget: ForgetSet
    original: TrainJob
    oracles: tuple[TrainJob, ...]
    starts_from: str | None = None
    """Checksum of the original's weights if it is another model than the one that the configuration names."""

    @cached_property
    def digest(self) -> str:
        """Asked for by the driver before workers are: of files that are named it alone may know what they hold."""
        found = self.config.result_digest(self.manifest.digest, self.forget.digest)
        return found if self.starts_from is None else digest_of([found, self.starts_from])

    @property
    def config(self) -> RunConfig:
        return self.workspace.config

    @property
    def forget_file(self) -> Path:
        assert self.workspace.forget_file is not None
        return self.workspace.forget_file

    @property
    def reader(self) -> ShardReader:
        return self.workspace.reader

    @property
    def manifest(self) -> Manifest:
        return self.reader.manifest

    @property
    def split(self) -> ForgetSplit:
        return self.workspace.split

    @cached_property
    def hashes(self) -> Mapping[str, SetHash]:
        """Rows and hash of every set."""
        return set_hashes(self.split)

    @property
    def missing(self) -> list[TrainJob]:
        return [job for job in (self.original, *self.oracles) if not job.done]


def about_request(plan: Plan) -> str:
    """What is forgotten, the notes on how it was found, and rows and hash of every set."""
    said = f"forget {len(plan.forget.rows)} of {plan.manifest.num_rows('train')} training rows"
    if chosen := plan.config.data.retain_shards:
        said += f"; retain rows from {chosen} of {len(plan.manifest.split_shards('train'))} shards"
    if plan.forget.before is not None:
        said += f"; {len(plan.forget.before.rows)} rows forgotten before are in no set"
    classes = [told_classes(plan.forget.classes, plan.manifest.class_names)] if plan.forget.classes else []
    lines = [said, *classes, *plan.forget.notes]
    if isinstance(plan.config.request, ByConcept):
        tokenize = tokenizer_of(plan.config, plan.reader)
        lines += find_concept(plan.config.request, plan.reader, tokenize=tokenize).lines
    return "\n".join([*lines, told_sets(plan.hashes)])


def is_mlflow(weights: str) -> bool:
    return weights.startswith(("models:", "runs:", "mlflow-artifacts:"))


def absolute(config: RunConfig) -> RunConfig:
    """The same run with absolute paths and addresses, which workers anywhere find; MLflow URIs of weights become local
    files."""
    weights = config.model.weights
    if weights and is_mlflow(weights):
        from pipelines.tracking.weights import fetch_weights  # two seconds that workers need not pay

        weights = str(fetch_weights(config, weights))
    elif weights not in (None, "pretrained"):
        weights = str(Path(str(weights)).resolve())
    request: Any = config.request
    if hasattr(request, "path"):
        request = replace(request, path=shown(named_file(request.path)))
    return replace(
        config,
        storage=shown(config.store),
        data=replace(config.data, path=shown(place(config.data.path))),
        model=replace(
            config.model,
            weights=weights,
            name=_absolute_name(config),
            start=_resolved(config.model.start),
            image_tower=_resolved(config.model.image_tower),
            text_tower=_resolved(config.model.text_tower),
        ),
        request=request,
        audit=replace(config.audit, other_data=tuple(shown(place(p)) for p in config.audit.other_data)),
    )


def _check_kind(config: RunConfig, forget: ForgetSet, manifest: Manifest) -> None:
    """What only the data tell.

    Raises: ConfigError for a method that cannot answer the request as it turned out.
    """
    try:
        config.method.check(forget.kind)
    except ValueError as error:
        raise ConfigError(f"the request turned out to be one of {forget.kind} rows: {error}") from error
    if config.model.reads_captions and manifest.num_classes < 2 and config.method.needs_classes:
        raise ConfigError(f"method.name={config.method.name} needs classes, {config.data.path} has pairs without.")
    concept = isinstance(config.request, ByConcept) and forget.kind == "sample"
    if concept and config.model.reads_captions and config.stop.rule != "none":
        raise ConfigError(
            "stop.rule=paper compares forget rows with unseen rows of the same kind, which a concept that is no class "
            "does not have; set stop.rule=none."
        )


def _absolute_name(config: RunConfig) -> str:
    """The file or folder of a model that lies in one, by its absolute path."""
    prefix, _, rest = config.model.name.partition(":")
    files = config.model.reads_captions or config.model.library == "transformers"
    here = files and (rest.endswith(".json") or Path(rest).exists())
    return f"{prefix}:{Path(rest).resolve()}" if here else config.model.name


def _resolved(path: str | None) -> str | None:
    return str(Path(path).resolve()) if path else None


def _check_sets(split: ForgetSplit) -> None:
    """Raises: ConfigError if a set that decides or is reported is empty, of each forgotten class too."""
    needed = {"stop set": len(split.stop_retain), "test set": len(split.retain_test)}
    names = split.reader.manifest.class_names
    for set_name, rows in {"stop set": split.stop_forget, "test set": split.forget_test}.items():
        labels = split.reader.labels(rows.split, rows.rows)
        for label in split.forget.classes:
            needed[f"{set_name} of the forgotten class {names[label]!r}"] = int((labels == label).sum())
    for name, count in needed.items():
        if not count:
            raise ConfigError(f"the {name} is empty; pack the data with larger --val-frac and --test-frac.")


@dataclass(frozen=True)
class Recorded:
    """What a run began from, as its record says."""

    forget_file: Path
    """The resolved request; its folder is named by its digest."""
    original: Path | None = None
    """Folder of the original, if it is that of the configuration that is asked for."""


def make_plan(config: RunConfig, recorded: Recorded | None = None) -> Plan:
    """Resolve data, request, models and places, those apart that a run recorded; writes only the request file.

    Raises: ConfigError, DataError, ValueError for anything that cannot work, before anything starts.
    """
    config = absolute(config)
    workspace = checked_workspace(config)
    reader = workspace.reader
    if recorded is None:
        return plan_of(workspace, resolve_request(config.request, reader, config.model.reads_captions))
    plan = plan_of(workspace, _recorded_set(workspace, recorded.forget_file))
    if recorded.original is None:
        return plan
    return replace(plan, original=replace(plan.original, folder=recorded.original))


def checked_workspace(config: RunConfig) -> Workspace:
    """Open the run's data, and see that its model can be built for them; the configuration is absolute.

    Raises: UserError for what cannot work, whatever the request is.
    """
    check_storage(config)
    workspace = Workspace(config)
    check_memory(config, workspace.reader)
    digests_of(config.audit.other_data)
    check_columns(config.audit, workspace.reader)
    check_model(config, workspace.reader)
    return workspace


def _recorded_set(workspace: Workspace, file: Path) -> ForgetSet:
    """Raises: ConfigError if the file is gone, and the request finds other rows now."""
    config, reader = workspace.config, workspace.reader
    if fetched(file):
        return load_forget_set(file, reader.manifest.digest)
    found = resolve_request(config.request, reader, config.model.reads_captions)
    if found.digest != file.parent.name:
        raise ConfigError(
            f"{file} is missing, the rows that the run forgot, and its request finds others now; bring it from a copy."
        )
    return found


def check_storage(config: RunConfig) -> None:
    """Raises: ConfigError if the storage, or a folder that it lies in, is a file."""
    for part in (config.store, *config.store.parents):
        if part.exists() and not part.is_dir():
            raise ConfigError(f"storage: {part} is a file; name a folder.")


def plan_of(workspace: Workspace, forget: ForgetSet) -> Plan:
    """The plan of a resolved request; the configuration of ``workspace`` is absolute.

    Raises: ConfigError, DataError for anything that cannot work.
    """
    config, reader = workspace.config, workspace.reader
    _check_kind(config, forget, reader.manifest)
    models = config.store / "models"
    digest = reader.manifest.digest
    original = TrainJob("train original", models / config.original_key(digest), None)
    file = save_forget_set(config.store / "requests", forget)
    oracles = tuple(
        TrainJob(f"retrain oracle {i}", models / config.oracle_key(digest, forget.digest, i), file, i)
        for i in range(config.audit.oracles)
    )
    plan = Plan(workspace.for_request(file), forget, original, oracles)
    _check_sets(plan.split)
    for job in (original, *oracles):
        if job.done:
            made_elsewhere(config, job.folder)
    return plan
