"""The whole configuration of a run. Components take their own part; only ``run`` and the pipelines see it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cu_core.audit.subject import FOR_PAIRS, OF_AUDITS, OF_CLASSES, AuditConfig
from cu_core.bounds import BatchRows, Epochs, Name, RowCount, Seed
from cu_core.data.concepts import ByConcept
from cu_core.data.loader import Batches
from cu_core.data.requests import ByClass, ForgetRequest
from cu_core.data.transforms import Augment
from cu_core.errors import UserError
from cu_core.files import digest_of, file_sha256
from cu_core.keys import Product, settings_of
from cu_core.methods.contrastive import Contrastive
from cu_core.methods.objectives import Contrast, ObjectiveName
from cu_core.methods.table import METHODS, MethodConfig
from cu_core.models.batch_norm import BatchNormMode
from cu_core.models.build import ModelConfig
from cu_core.models.trainable import Trainable
from cu_core.source import own_source_digest, source_digest
from cu_core.storage import place
from cu_core.types import RequestKind
from cu_core.unlearn.optim import OptimizerConfig
from cu_core.unlearn.stopping import StopConfig
from cu_core.unlearn.trace import SKIPPED, TRACED, WARM_UP
from cu_core.validation import INTERNAL
from cu_core.weights_file import weights_within
from cu_core.workers import TrackingConfig, TrainWorkers, WorkersConfig

PROFILED_STEPS = SKIPPED + WARM_UP + TRACED


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data set."""

    path: str = "data/digits"
    """Folder or address (s3://bucket/folder) that `cu data pack` wrote."""
    half: Seed | None = field(default=None, metadata=INTERNAL)
    """Train on a random half of the training rows, drawn with this number: the models of a pool."""
    retain_shards: RowCount | None = None
    """Number of training shards from which retain rows are drawn, chosen by the seed; ``null``: all shards. It is for
    data sets too large to be read as a whole. A few more shards are opened for the retain figures of the audit.
    Originals and oracles are still trained on all rows."""

    def __post_init__(self) -> None:
        if self.retain_shards is not None and self.retain_shards < 1:
            raise UserError(f"retain_shards must be at least 1, got {self.retain_shards}")
        if self.retain_shards is not None and self.half is not None:
            raise UserError("data.retain_shards cannot be used for pools of models on random halves")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the original and the oracles are trained."""

    epochs: Epochs = 10
    """Passes over the training rows; an oracle passes over the retain rows."""
    batch: BatchRows = 128
    """Rows per step, over all workers."""
    augment: Augment = "none"
    """Augmentation of training rows: ``crop_flip`` is a random crop and a horizontal flip."""
    objective: ObjectiveName = "cross_entropy"
    """Classifiers: what is minimised. ``supcon``, ``simclr`` and ``moco`` train an encoder on two random views of each
    row; the head is then fitted on the frozen encoder (a linear probe)."""
    contrast: Contrast = field(default_factory=Contrast)
    """Of the objectives other than cross_entropy."""
    trainable: Trainable = field(default_factory=lambda: Trainable(towers="both", scale=True))
    """Image-text models: which weights are trained."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=0.1, weight_decay=5e-4, schedule="cosine", warmup_frac=0.1)
    )
    workers: TrainWorkers = field(default_factory=TrainWorkers)

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.batch < 1:
            raise UserError("epochs must be positive and batch at least 1")
        self.contrast.check(self.objective)
        if self.objective in ("supcon", "simclr") and self.batch < 2:
            raise UserError(
                f"train.objective={self.objective} contrasts the rows of a batch; train.batch must be at least 2"
            )
        if self.objective != "cross_entropy" and self.augment != "none":
            raise UserError(f"train.augment has no effect with train.objective={self.objective}, which draws views")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: the request, the model, the method, and the audit."""

    __pydantic_config__ = {"extra": "forbid"}

    name: Name | None = None
    """Name of the run; ``null``: made from the data, the time and a hash of the configuration."""
    seed: Seed = 0
    """Seed of the initial weights, of the order of rows and of rows that are drawn."""
    storage: str = "outputs"
    """Folder or address (s3://bucket/folder) for models, requests, runs and the MLflow database."""
    preset: Literal["default", "paper"] = "default"
    """Values of method, optimizer, batches and stop for each kind of request. Values written in the file replace
    them."""
    batch_norm: BatchNormMode = "synced"
    """Which rows feed the batch statistics while unlearning."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    trainable: Trainable = field(default_factory=Trainable)
    """Image-text models: which weights unlearning changes."""
    request: ForgetRequest = field(default_factory=ByClass)
    train: TrainConfig = field(default_factory=TrainConfig)
    method: MethodConfig = field(default_factory=Contrastive)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batches: Batches = field(default_factory=Batches)
    stop: StopConfig = field(default_factory=StopConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    @property
    def asked(self) -> RequestKind:
        """Kind of the request before the data are read; a concept may turn out to be a class."""
        concept = isinstance(self.request, ByConcept) and self.model.reads_captions
        return "class" if isinstance(self.request, ByClass) or concept else "sample"

    def batches_for(self, num_classes: int) -> Batches:
        """Return the batches of the run on data with this number of classes."""
        return self.batches.resolved(num_classes, self.method.needs_positives(self.asked))

    @property
    def halves_forget_rows(self) -> bool:
        """Whether only half of a sample request's rows are reported."""
        decides = self.stop.rule != "none" or self.audit.report_on == "stop"
        return decides or self.audit.forget_rows == "half"

    @property
    def store(self) -> Path:
        """The storage folder on this machine."""
        return place(self.storage)

    @property
    def while_training(self) -> RunConfig:
        """The same run with ``train.workers`` in place of the workers that unlearn."""
        together = replace(self.workers, **{**asdict(self.train.workers), "shard": False}, profile=False)
        return replace(self, workers=together)

    def original_key(self, data_digest: str) -> str:
        """Compute the digest of everything that the original depends on.

        That is its training, or the weights file that it is taken from.

        Raises:
            UserError: The weights file does not exist.
        """
        if self.weights_file is None:
            return digest_of(["original", self._training(data_digest)])
        return digest_of(["imported", self._settings("imported"), data_digest, source_digest("trained")])

    @property
    def weights_file(self) -> Path | None:
        """Path of the file that ``model.weights`` names; the file may not exist."""
        if self.model.weights in (None, "pretrained"):
            return None
        path = Path(str(self.model.weights))
        return weights_within(path) if path.is_dir() else path

    def oracle_key(self, data_digest: str, forget_digest: str, number: int) -> str:
        """Compute the digest of everything that oracle ``number`` depends on."""
        return digest_of(["oracle", self._training(data_digest), forget_digest, number])

    def result_digest(self, data_digest: str, forget_digest: str) -> str:
        """Compute the digest of everything that the unlearned model depends on."""
        source = source_digest("unlearned", type(self.method).__module__)
        return digest_of(
            ["unlearned", self.original_key(data_digest), forget_digest, self._settings("unlearned"), source]
        )

    def figures_key(self, weights: object, forget_digest: str) -> str:
        """Compute the digest of all that the figures of a model with these ``weights`` depend on, except other data."""
        return digest_of(["figures", weights, forget_digest, self._settings("figures"), source_digest("figures")])

    def limits_key(self, data_digest: str, shape: Sequence[object]) -> str:
        """Compute the digest of everything that the limits of a verdict depend on, for requests of one ``shape``.

        The seed and ``audit.oracles`` are not part of it: ``shape`` includes how many oracles a verdict has.
        """
        alike = replace(self, seed=0, audit=replace(self.audit, oracles=0))
        settings = [alike._settings("trained"), alike._settings("figures"), alike._settings("report")]
        return digest_of(["limits", data_digest, *settings, list(shape), source_digest("report")])

    def report_key(self, models: Sequence[str], others: Sequence[str]) -> str:
        """Compute the digest of everything that a report depends on.

        Args:
            models: Keys of the models.
            others: Digests of other data.

        Returns:
            The digest.
        """
        settings = [self._settings("figures"), self._settings("report")]
        return digest_of(["report", list(models), settings, list(others), source_digest("report")])

    def _training(self, data_digest: str) -> list[object]:
        return [self._settings("trained"), data_digest, source_digest("trained")]

    def _settings(self, product: Product) -> dict[str, Any]:
        """Return the settings that change a product; names of files are replaced by digests of their content."""
        found = settings_of(self, (product,))
        if "model" in found:
            found["model"] = self.model_by_content()
            if product == "imported":
                assert self.weights_file is not None
                if not self.weights_file.is_file():
                    raise UserError(f"model.weights: no file {self.weights_file}.")
                found["model"]["weights"] = file_sha256(self.weights_file)
            elif not self.model.start:  # names of a file that is audited do not change what is trained
                found["model"] |= {"key_map": {}, "weights_key": None}
        return found

    def model_by_content(self) -> dict[str, Any]:
        """Return the model's settings, with the files and modules that they name replaced by digests of their content.

        ``weights`` that lie in a file are left out.

        Raises:
            UserError: ``model.start`` or the module does not exist.
        """
        model = asdict(self.model)
        library, _, place = self.model.name.partition(":")
        path = Path(place)
        in_files = self.model.reads_captions or self.model.library == "transformers"
        files = [path, *sorted(path.glob("*"))] if in_files else []
        if held := [file_sha256(file) for file in files if file.is_file()]:
            model["name"] = [library, held]
        elif place and not self.model.reads_captions and not self.model.library:
            model["name"] = [self.model.name, own_source_digest(library)]
        for tower in ("image_tower", "text_tower"):
            if place := getattr(self.model, tower):
                model[tower] = [file_sha256(file) for file in sorted(Path(place).glob("*")) if file.is_file()]
        if self.model.start:
            start = Path(self.model.start)
            start = weights_within(start) if start.is_dir() else start
            if not start.is_file():
                raise UserError(f"model.start: no file {self.model.start}.")
            model["start"] = file_sha256(start)
        model["weights"] = "pretrained" if self.model.weights == "pretrained" else None
        return model

    def of_the_result(self) -> dict[str, Any]:
        """Return the settings that an unlearned model and its original depend on, as they are written."""
        return settings_of(self, ("trained", "imported", "unlearned")) | {"request": asdict(self.request)}

    def __post_init__(self) -> None:
        model = "image-text" if self.model.reads_captions else "classifier"
        if model not in self.method.models:
            fitting = ", ".join(name for name, method in METHODS.items() if model in method.models)
            raise UserError(
                f"method.name={self.method.name} cannot change an {model} model; these can: {fitting}"
                if model == "image-text"
                else f"method.name={self.method.name} needs an image-text model; model.name {self.model.name} is none"
            )
        if self.model.reads_captions and self.trainable.towers != "image" and self.method.image_tower_only:
            raise UserError(
                f"trainable.towers={self.trainable.towers}: {self.method.name} changes the image tower only"
            )
        self.method.check(self.asked)
        if not self.model.reads_captions:
            self._check_classifier()
        if self.workers.shard or self.train.workers.shard:
            self._check_shard()
        if self.workers.profile:
            self._check_profile()
        if self.audit.paraphrases and self.asked != "class":
            raise UserError("audit.paraphrases is for requests of a class or concept")
        if self.asked != "class" and (given := [name for name in self.audit.more_audits if name in OF_CLASSES]):
            raise UserError(f"audit.more_audits={given[0]} is for requests of a class or concept")
        for setting, audit in OF_AUDITS.items():
            if getattr(self.audit, setting) and audit not in (self.audit.audits or [audit]):
                raise UserError(f"audit.{setting} belongs to the audit {audit}; name it in audit.audits")
        if self.model.reads_captions:
            self._check_pairs()
        if self.batches.forget_batch < 1:
            raise UserError("batches.forget_batch must be at least 1")

    def _check_classifier(self) -> None:
        if "views" in (self.audit.audits or ()) and self.train.objective == "cross_entropy":
            raise UserError("the audit views is for train.objective=supcon, simclr or moco; it is cross_entropy")
        if self.model.projection and self.train.objective != "cross_entropy":
            raise UserError(
                f"model.projection is for train.objective=cross_entropy; {self.train.objective} has its own "
                f"(train.contrast.projection)"
            )
        if (
            self.trainable != Trainable()
            or self.train.trainable != TrainConfig().trainable
            or self.workers.rows_at_once is not None
            or self.workers.recompute
            or any(getattr(self.audit, setting) for setting in FOR_PAIRS)
        ):
            raise UserError(
                "trainable, train.trainable, workers.rows_at_once, workers.recompute and audit."
                f"{', audit.'.join(FOR_PAIRS)} are for image-text models; model.name {self.model.name} is none"
            )

    def _check_pairs(self) -> None:
        if self.train.objective != "cross_entropy":
            raise UserError(
                f"train.objective={self.train.objective} is for classifiers; model.name {self.model.name} is an "
                f"image-text model"
            )
        if {"noise", "views"} & {*(self.audit.audits or ())} or self.audit.noise_levels != AuditConfig().noise_levels:
            raise UserError(
                f"the audits noise and views and audit.noise_levels are for classifiers; model.name {self.model.name} "
                f"is an image-text model"
            )

    def _check_profile(self) -> None:
        steps = 1 if self.method.closed_form else self.stop.max_steps
        if steps < PROFILED_STEPS:
            raise UserError(
                f"workers.profile traces steps 3 to {PROFILED_STEPS}: {self.method.name} takes at most {steps}"
            )

    def _check_shard(self) -> None:
        for part, shard, trainable in (
            ("", self.workers.shard, self.trainable),
            ("train.", self.train.workers.shard, self.train.trainable),
        ):
            if shard and trainable.tune in ("lora", "head"):
                raise UserError(
                    f"{part}workers.shard spreads towers that train: set {part}trainable.tune=full or last_blocks, got "
                    f"{trainable.tune}"
                )
        if self.batch_norm == "per_rank":
            raise UserError("batch_norm=per_rank gives every worker its own statistics; shard needs equal ones")
        if self.workers.rows_at_once is not None:
            raise UserError("shard and rows_at_once cannot be had together; recompute saves memory beside shard")
        if self.workers.shard and self.method.whole_weights:
            raise UserError(f"workers.shard: {self.method.name} needs whole weights on every worker")
