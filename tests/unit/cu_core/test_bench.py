from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cu_core import bench as bench_module
from cu_core.bench import bench, fresh_loop, measure
from cu_core.config import RunConfig
from cu_core.errors import UserError
from cu_core.run import Hooks
from tests.conftest import small


@pytest.mark.parametrize(
    ("batches", "steps"), [([8], 0), ([], 3), ([8, 0], 3)], ids=["no steps", "no batch", "an empty batch"]
)
def test_there_must_be_something_to_measure(class_config: RunConfig, batches: list[int], steps: int) -> None:
    with pytest.raises(UserError, match="--steps and every --batch must be at least 1"):
        next(bench(class_config, batches, steps))


def test_a_method_without_steps_has_no_step_to_measure(digits: Path, storage: Path) -> None:
    with pytest.raises(UserError, match="method.name=logit_mask takes no steps"):
        next(bench(small(digits, storage, method={"name": "logit_mask"}), [8], 1))


def test_each_batch_size_is_measured_in_a_process_of_its_own(
    class_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[int] = []

    class Inline:
        def __init__(self, count: int, context: Any):
            assert (count, context.get_start_method()) == (1, "spawn")
            pools.append(0)

        def __enter__(self) -> Inline:
            return self

        def __exit__(self, *error: object) -> None: ...

        def submit(self, function: Any, *args: Any) -> Future[Any]:
            pools[-1] += 1
            future: Future[Any] = Future()
            future.set_result(function(*args))
            return future

    seen = []

    def measured(config: RunConfig, steps: int) -> int:
        seen.append((config.batches.forget_batch, config.batches.retain_batch, steps))
        assert replace(config, batches=class_config.batches) == class_config
        return len(seen)

    monkeypatch.setattr(bench_module, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(bench_module, "measure", measured)
    assert list(bench(class_config, [8, 4], 3)) == [1, 2]
    assert seen == [(8, 8, 3), (4, 4, 3)]
    assert pools == [1, 1]


def test_a_step_is_measured_with_its_rows(digits: Path, storage: Path) -> None:
    batches = {"forget_batch": 4, "retain_batch": 6}
    cost = measure(small(digits, storage, method={"name": "neggrad_plus"}, batches=batches), 2)
    assert (cost.batch, cost.rows, cost.device) == (6, 10, "CPU")
    assert cost.seconds > 0
    assert cost.plain is not None
    assert cost.plain > 0
    assert cost.threads == torch.get_num_threads()


@pytest.mark.parametrize(
    ("method", "reference", "untrained"),
    [("finetune", False, False), ("bad_teacher", True, True), ("scrub", True, False)],
)
def test_a_method_gets_the_models_that_it_needs(
    digits: Path, storage: Path, method: str, reference: bool, untrained: bool
) -> None:
    config = small(digits, storage, method={"name": method}, batch_norm="frozen")
    loop = fresh_loop(config, Hooks(), 3)
    assert (loop.reference is not None, loop.untrained is not None) == (reference, untrained)
    assert loop.max_steps == 3
    assert not any(m.training for m in loop.model.train().modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_the_peak_is_that_since_it_was_reset() -> None:
    """A block of 64 MiB that was given back does not count any more; one that is taken now does. In a process of its
    own: what an allocator gives back depends on what was taken before."""
    code = """
import torch
from cu_core.bench import peak_memory
device = torch.device("cpu")
taken = torch.ones(2**24)
high = peak_memory(device)
del taken
low = peak_memory(device, reset=True)
held = torch.ones(2**24)
print(high - low, peak_memory(device) - low, held[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    given_back, taken = (int(word) for word in done.stdout.split()[:2])
    assert given_back >= 2**25
    assert taken >= 2**25
