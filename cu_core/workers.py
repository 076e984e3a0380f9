"""Where a run computes, and where it is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cu_core.bounds import BatchRows, Cpus, MlflowName, StepsOrNone, Times, TimesOrNone, Workers
from cu_core.errors import UserError

Placement = Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]


def _check_count(count: int, min_count: int | None, cpus: float, shard: bool) -> None:
    if count < 1 or cpus <= 0:
        raise UserError(f"count must be at least 1 and cpus more than 0, got {count} and {cpus}")
    if min_count is not None and not 2 <= min_count <= count:
        raise UserError(f"min_count must be between 2 and count, {count}, got {min_count}")
    if shard and count < 2:
        raise UserError("shard spreads weights over workers: count must be at least 2, got 1")


@dataclass(frozen=True, kw_only=True)
class TrainWorkers:
    """Workers that train one original or oracle together. Device, precision and restarts are those of ``workers``."""

    count: Workers = 1
    """Number of workers of one training. One worker is a Ray task, several are a Ray Train run. Batches, and so the
    model, are those of one worker but for rounding."""
    min_count: Workers | None = None
    """Smallest number of workers with which a training continues after machines are lost. ``null``: all."""
    cpus: Cpus = 1.0
    """CPUs of a worker, if there are several, and its number of threads."""
    placement: Placement = "PACK"
    """As ``workers.placement``."""
    shard: bool = False
    """As ``workers.shard``, while originals and oracles are trained."""

    def __post_init__(self) -> None:
        _check_count(self.count, self.min_count, self.cpus, self.shard)


@dataclass(frozen=True, kw_only=True)
class WorkersConfig:
    """Where and with how many processes a run computes."""

    count: Workers = 1
    """Number of workers of an unlearning run. One worker is a Ray task, several are a Ray Train run."""
    min_count: Workers | None = None
    """Smallest number of workers with which a run continues after machines are lost; it uses more again when they
    return. ``null``: wait for all workers. Batches and their order stay the same."""
    cpus: Cpus = 1.0
    """CPUs of a worker of an unlearning run or a trial, and its number of threads. With less than 1, several workers
    share a CPU. Audits, cells of comparisons, and trainings by one worker use one CPU."""
    placement: Placement = "PACK"
    """``PACK``: as few machines as possible; ``SPREAD``: as many as possible. The strict forms fail if this is not
    possible."""
    gpu: bool = False
    """Use one GPU per worker."""
    models_per_gpu: Times = 1
    """Models of one worker that share a GPU, if many are made: originals, oracles, cells, pools."""
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    """``bfloat16``: mixed precision, weights stay float32; ``float64``: for numerical comparisons."""
    rows_at_once: BatchRows | None = None
    """Image-text models: images or captions that a worker forwards at once, for batches that exceed its memory. The
    loss is that of the whole batch. ``null``: all."""
    recompute: bool = False
    """Image-text models: keep only the inputs of transformer blocks, and compute the rest again in the backward
    pass."""
    shard: bool = False
    """Spread weights, gradients and optimizer state over the workers (FSDP2); of an image-text model, those of the
    towers that train. It is for models that exceed a worker's memory. The result is the same."""
    checkpoint_every: StepsOrNone = 100
    """Steps between two checkpoints of a run; 0: no checkpoints, so a restart begins at step 0. Originals and oracles
    save every five minutes."""
    profile: bool = False
    """Write a torch profiler trace of steps 3 to 5 of each worker into the run's folder, trace-rank-N.json."""
    max_failures: TimesOrNone = 3
    """Number of times Ray restarts a run from its latest checkpoint."""

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Kind of device."""
        return "cuda" if self.gpu else "cpu"

    def __post_init__(self) -> None:
        _check_count(self.count, self.min_count, self.cpus, self.shard)
        if (
            min(self.models_per_gpu, 1 if self.rows_at_once is None else self.rows_at_once) < 1
            or self.checkpoint_every < 0
            or self.max_failures < 0
        ):
            raise UserError(
                "models_per_gpu and rows_at_once must be at least 1, checkpoint_every and max_failures not negative"
            )


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Settings of MLflow."""

    uri: str | None = None
    """Tracking server; ``null``: MLFLOW_TRACKING_URI if set, else a SQLite file in the storage folder."""
    experiment: MlflowName = "contrastive-unlearning"
    """Name of the MLflow experiment."""
    registry_name: MlflowName | None = None
    """Name of the registered model; ``null``: the names of the data set and of the model."""
