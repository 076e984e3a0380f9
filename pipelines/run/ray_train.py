"""The only place that knows Ray Train (V2 API)."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import ray.train
import torch
from ray.train import UserCallback
from ray.train.torch import TorchTrainer, get_device

from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.dist import data_parallel, rank, use_cpus
from cu_core.errors import DamagedFile
from cu_core.storage import shown
from pipelines.run.checkpoints import KEPT_CHECKPOINTS
from pipelines.run.folder import RunFolder


class Report(Protocol):
    """Tells Ray figures, and the folder of a checkpoint or of this worker's part of one. With ``finish``, the folder is
    complete once that returns; it is called and the folder sent in the background, and then deleted."""

    def __call__(
        self, metrics: dict[str, float], folder: Path | None, finish: Callable[[], None] | None = None
    ) -> None: ...


WorkerFunction = Callable[[torch.device, Any, Report, Path | None], None]


def _worker(settings: dict[str, Any]) -> None:
    job: WorkerFunction = settings["job"]
    use_cpus(settings["cpus"])

    def report(metrics: dict[str, float], folder: Path | None, finish: Callable[[], None] | None = None) -> None:
        checkpoint = ray.train.Checkpoint.from_directory(folder) if folder else None
        if finish is None:
            ray.train.report(metrics, checkpoint=checkpoint)
        elif hasattr(ray.train, "CheckpointUploadMode"):
            ray.train.report(metrics, checkpoint=checkpoint, **_later(finish))
        else:  # an older Ray sends while all wait
            finish()
            ray.train.report(metrics, checkpoint=checkpoint)
            shutil.rmtree(str(folder))

    def wrap(module: torch.nn.Module) -> torch.nn.Module:
        return data_parallel(module, broadcast_buffers=settings["per_rank_statistics"])

    with contextlib.ExitStack() as held:
        job(get_device(), wrap, report, _newest_whole(held, settings["folder"]))


def _later(finish: Callable[[], None]) -> dict[str, Any]:
    """Options of ``ray.train.report``: a thread sends the checkpoint once it is complete."""

    def send(checkpoint: Any, name: str) -> Any:
        finish()
        return ray.train.get_context().get_storage().persist_current_checkpoint(checkpoint, name)

    mode = ray.train.CheckpointUploadMode.ASYNC
    return {"checkpoint_upload_mode": mode, "checkpoint_upload_fn": send, "delete_local_checkpoint_after_upload": True}


class Preemption:
    """Whether Ray says that a worker's machine is about to be taken away (Ray 2.60 and newer tell). Every worker must
    ask equally often, for asking is a barrier: it is done in every tenth step."""

    EVERY = 10

    def __init__(self) -> None:
        self.look = getattr(ray.train, "get_preemption_info", None)
        self.calls, self.told = 0, False

    def __call__(self) -> bool:
        """True once: at the first look that finds it."""
        self.calls += 1
        if self.look is None or self.told or self.calls % self.EVERY:
            return False
        self.told = self.look() is not None
        return self.told


def _newest_whole(held: contextlib.ExitStack, run: RunFolder) -> Path | None:
    """The latest checkpoint that is not damaged, on this machine while ``held`` is open."""
    latest = ray.train.get_checkpoint()
    if latest is None:
        return None
    earlier = [reported.checkpoint for reported in ray.train.get_all_reported_checkpoints()]
    for checkpoint in [latest, *(c for c in reversed(earlier) if c.path != latest.path)]:
        folder = Path(held.enter_context(checkpoint.as_directory()))
        try:
            read_meta(folder)
        except DamagedFile as error:
            if rank() == 0:
                run.note(f"{error} The checkpoint before is used.")
        else:
            return folder
    return None


def train_workers(
    job: WorkerFunction, config: RunConfig, folder: RunFolder, callbacks: Sequence[UserCallback] = ()
) -> None:
    """Run ``job`` on all workers; Ray restarts them from the latest checkpoint when one dies. ``callbacks`` see what
    workers report.

    Raises: what the workers raised; KeyboardInterrupt on Ctrl-C.
    """
    workers = config.workers
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "job": job,
            "folder": folder,
            "per_rank_statistics": config.batch_norm == "per_rank",
            "cpus": workers.cpus,
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=(workers.min_count, workers.count) if workers.min_count else workers.count,
            use_gpu=workers.gpu,
            resources_per_worker={"CPU": workers.cpus, "GPU": float(workers.gpu)},
            placement_strategy=workers.placement,
        ),
        run_config=ray.train.RunConfig(
            name="ray",
            storage_path=shown(folder.path),
            failure_config=ray.train.FailureConfig(max_failures=workers.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=KEPT_CHECKPOINTS),
            callbacks=list(callbacks),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
    with own_interrupt():
        try:
            trainer.fit()
        except SystemExit as stop:  # Ray's own handler of Ctrl-C aborts the run and then leaves the program
            raise KeyboardInterrupt from stop


@contextmanager
def own_interrupt() -> Iterator[None]:
    """Ray's libraries leave their own handler of Ctrl-C behind; here the program's comes back."""
    here = threading.current_thread() is threading.main_thread()  # a trial of Ray Tune runs in another
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGINT, handler)
