"""What is asked of Ray Train, and what comes of its ends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cu_core.checkpoint import TrainState, save_state
from cu_core.config_io import config_from
from pipelines.run import ray_train
from pipelines.run.folder import RunFolder
from pipelines.run.ray_train import Preemption, _newest_whole, own_interrupt, train_workers


def test_every_tenth_step_asks_ray_and_the_notice_is_told_once() -> None:
    answers: list[object] = [None, "notice", "notice"]
    preemption = Preemption()
    preemption.look = lambda: answers.pop(0)
    told = [step for step in range(1, 51) if preemption()]
    assert told == [20]
    assert answers == ["notice"]


def test_an_older_ray_is_not_asked() -> None:
    preemption = Preemption()
    preemption.look = None
    assert not any(preemption() for _ in range(20))


class FakeTrainer:
    """Records what it is made of; ``ends`` is raised by ``fit``."""

    made: dict[str, Any]
    ends: BaseException | None = None

    def __init__(self, worker: Any, **given: Any) -> None:
        FakeTrainer.made = given

    def fit(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Ray does
        if FakeTrainer.ends:
            raise FakeTrainer.ends


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> type[FakeTrainer]:
    monkeypatch.setattr(ray_train, "TorchTrainer", FakeTrainer)
    monkeypatch.setattr(FakeTrainer, "ends", None)
    return FakeTrainer


def test_workers_get_what_the_configuration_says(trainer: type[FakeTrainer], tmp_path: Path) -> None:
    workers = {"count": 3, "cpus": 2, "gpu": True, "max_failures": 5}
    config = config_from({"workers": workers, "batch_norm": "per_rank"})
    before = signal.getsignal(signal.SIGINT)
    train_workers(lambda *given: None, config, RunFolder(tmp_path))
    assert signal.getsignal(signal.SIGINT) is before
    asked = trainer.made["scaling_config"]
    assert (asked.num_workers, asked.use_gpu, asked.resources_per_worker) == (3, True, {"CPU": 2, "GPU": 1.0})
    run = trainer.made["run_config"]
    assert (run.failure_config.max_failures, run.checkpoint_config.num_to_keep) == (5, 2)
    assert run.storage_path == str(tmp_path)
    settings = trainer.made["train_loop_config"]
    assert (settings["cpus"], settings["per_rank_statistics"]) == (2, True)
    train_workers(lambda *given: None, config_from({"workers": {"count": 4, "min_count": 2}}), RunFolder(tmp_path))
    assert trainer.made["scaling_config"].num_workers == (2, 4)
    assert trainer.made["train_loop_config"]["per_rank_statistics"] is False


def test_ctrl_c_is_ctrl_c_and_what_workers_raise_passes(
    trainer: type[FakeTrainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ends, raised in ((SystemExit(130), KeyboardInterrupt), (RuntimeError("x"), RuntimeError)):
        monkeypatch.setattr(trainer, "ends", ends)
        with pytest.raises(raised):
            train_workers(lambda *given: None, config_from({}), RunFolder(tmp_path))


def test_the_programs_handler_comes_back_after_an_error() -> None:
    def fails() -> None:
        with own_interrupt():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise ZeroDivisionError

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        fails()
    assert signal.getsignal(signal.SIGINT) is before


class FakeCheckpoint:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    @contextlib.contextmanager
    def as_directory(self) -> Iterator[str]:
        yield self.path


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[FakeCheckpoint]:
    for step in (1, 2, 3):
        weights = {"w": torch.zeros(2)}
        save_state(tmp_path / f"step-{step}", TrainState(step, weights, {}, {}, torch.zeros(1)), "digest")
    return [FakeCheckpoint(tmp_path / f"step-{step}") for step in (1, 2, 3)]


@pytest.mark.parametrize(("damaged", "used"), [((), 3), ((3,), 2), ((2, 3), 1), ((1, 2, 3), None)])
def test_the_newest_whole_checkpoint_is_used_and_each_damaged_one_told(
    damaged: tuple[int, ...], used: int | None, checkpoints: list[FakeCheckpoint], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    reported = [SimpleNamespace(checkpoint=checkpoint) for checkpoint in checkpoints]
    monkeypatch.setattr(ray_train.ray.train, "get_checkpoint", lambda: checkpoints[-1])
    monkeypatch.setattr(ray_train.ray.train, "get_all_reported_checkpoints", lambda: reported)
    for step in damaged:
        (tmp_path / f"step-{step}" / "model.safetensors").write_bytes(b"cut off")
    run = RunFolder(tmp_path)
    with contextlib.ExitStack() as held:
        assert _newest_whole(held, run) == (None if used is None else tmp_path / f"step-{used}")
    assert len(run.notes) == len(damaged)
    assert all(line.endswith("The checkpoint before is used.") for line in run.notes)


def test_a_new_run_has_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_train.ray.train, "get_checkpoint", lambda: None)
    with contextlib.ExitStack() as held:
        assert _newest_whole(held, RunFolder(tmp_path)) is None
