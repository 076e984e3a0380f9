"""What a Ray task of a run asks for, and how many threads it uses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import ray
import torch

from cu_core.config import RunConfig
from cu_core.dist import use_cpus
from cu_core.types import StepReport
from pipelines.console import Bars, describe

OnStep = Callable[[StepReport], None]


def ray_task(function: Callable[..., Any]) -> Any:
    """A Ray task that computes with as many threads as CPUs were given to it. Processes of Ray are reused: without this
    it has as many as the task before."""

    def use_given() -> None:
        given = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
        use_cpus(max(1, int(given)))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        use_given()
        return function(*args, **kwargs)

    @functools.wraps(function)
    def give(*args: Any, **kwargs: Any) -> Any:
        use_given()
        yield from function(*args, **kwargs)

    return ray.remote(give if inspect.isgeneratorfunction(function) else call)


def device_of(config: RunConfig) -> torch.device:
    return torch.device(config.workers.device)


def gpu_share(config: RunConfig) -> float:
    """Part of a GPU that one task takes."""
    return 1 / config.workers.models_per_gpu


def task_options(config: RunConfig) -> dict[str, Any]:
    return {
        "num_cpus": 1,
        "num_gpus": gpu_share(config) if config.workers.gpu else 0,
        "max_retries": config.workers.max_failures,
    }


def bar_step(drawn: Bars, label: str) -> OnStep:
    return lambda report: drawn.update(label, report.step, report.max_steps, describe(report))


def both(first: OnStep, second: OnStep) -> OnStep:
    def call(report: StepReport) -> None:
        first(report)
        second(report)

    return call
