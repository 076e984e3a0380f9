"""What Ray tasks ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cu_core.config_io import config_from
from cu_core.types import StepReport
from pipelines.run import task_options as tasks
from pipelines.run.task_options import bar_step, both, device_of, gpu_share, ray_task, task_options


def test_models_share_a_gpu_and_without_one_none_is_asked_for() -> None:
    shared = config_from({"workers": {"gpu": True, "models_per_gpu": 4, "max_failures": 7}})
    assert gpu_share(shared) == 0.25
    assert task_options(shared) == {"num_cpus": 1, "num_gpus": 0.25, "max_retries": 7}
    assert device_of(shared).type == "cuda"
    alone = config_from({"workers": {"models_per_gpu": 4}})
    assert task_options(alone)["num_gpus"] == 0
    assert device_of(alone).type == "cpu"


@pytest.mark.parametrize(("given", "threads"), [({"CPU": 3.0}, 3), ({"CPU": 0.5}, 1), ({}, 1), ({"GPU": 1.0}, 1)])
def test_a_task_uses_as_many_threads_as_it_was_given_cpus(
    given: dict[str, float], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def remote(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    context = SimpleNamespace(get_assigned_resources=lambda: given)
    monkeypatch.setattr(tasks, "ray", SimpleNamespace(remote=remote, get_runtime_context=lambda: context))
    monkeypatch.setattr(tasks, "use_cpus", used.append)

    def named(a: int, *, b: int) -> tuple[int, int, int]:
        return a, b, len(used)  # the threads are set before

    call = ray_task(named)
    assert call(1, b=2) == (1, 2, 1)
    assert used == [threads]
    assert call.__name__ == "named"  # the name that Ray's dashboard shows

    def counted(upto: int) -> Iterator[int]:
        yield from range(upto)

    give = ray_task(counted)
    assert inspect.isgeneratorfunction(give)  # Ray then hands on what it gives one by one
    assert list(give(3)) == [0, 1, 2]
    assert used == [threads] * 2


def test_a_step_moves_a_bar_and_both_hooks_are_called_in_order() -> None:
    seen: list[Any] = []
    drawn = SimpleNamespace(update=lambda *told: seen.append(told))
    hook = both(bar_step(drawn, "unlearn"), lambda report: seen.append(report.step))  # type: ignore[arg-type]
    hook(StepReport(3, 9, {"loss": 0.5}))
    assert seen == [("unlearn", 3, 9, "loss 0.500"), 3]
