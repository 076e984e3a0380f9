"""Plain training steps and unlearning steps of whole models on one device, in several numeric formats."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cu_core.bench import fresh_loop, measure, speeds
from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.data.shard_writer import Chunk, write_shards
from cu_core.models.build import ModelConfig, build_model
from cu_core.models.preprocess import Preprocess
from cu_core.run import Hooks
from cu_core.unlearn.loop import run_loop

CLASSES = 10
MATMUL_SIDE = 8192


@dataclass(frozen=True)
class Format:
    """Numeric format and layout of a step."""

    products: str = "highest"
    """Precision of float32 products (``torch.set_float32_matmul_precision``): ``high`` allows TF32."""
    mixed: bool = False
    """Autocast to bfloat16."""
    channels_last: bool = False
    compiled: bool = False


FORMATS: Mapping[str, Format] = {
    "float32": Format(),
    "TF32": Format("high"),
    "bfloat16": Format("high", True),
    "bfloat16, channels-last": Format("high", True, True),
    "bfloat16, channels-last, compiled": Format("high", True, True, True),
}


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """Context manager: the precision of float32 products."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class PlainCost:
    """A training step on images that lie on the device: forward, cross-entropy, backward, update."""

    images_per_second: float
    flops_per_second: float
    """Floating-point operations of products and convolutions, forward and backward."""
    peak_bytes: int
    """Most memory above what the process held before; 0 on a CPU, where it is not measured."""


def at_once(model: ModelConfig, batch: int, format: Format, device: torch.device, steps: int, processes: int) -> float:
    """Measure images a second of plain steps in several processes on one device, in sum."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(plain_cost, model, batch, format, device, steps) for _ in range(processes)]
        return sum(job.result().images_per_second for job in jobs)


def plain_cost(model: ModelConfig, batch: int, format: Format, device: torch.device, steps: int) -> PlainCost:
    """Measure a plain training step in this process.

    Raises:
        torch.OutOfMemoryError: The device's memory does not hold it.
    """
    with products(format.products):
        return _plain_cost(model, batch, format, device, steps)


def _plain_cost(model: ModelConfig, batch: int, format: Format, device: torch.device, steps: int) -> PlainCost:
    size = model.image_size or 224
    names = [str(c) for c in range(CLASSES)]
    built = build_model(model, names, Preprocess(size, (0.5,) * 3, (0.25,) * 3), seed=0).to(device).train()
    layout = torch.channels_last if format.channels_last else torch.contiguous_format
    built.to(memory_format=layout)
    step: nn.Module = torch.compile(built) if format.compiled else built  # type: ignore[assignment]
    optimizer = torch.optim.SGD(built.parameters(), lr=1e-3, momentum=0.9, fused=device.type == "cuda")
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    labels = torch.randint(CLASSES, (batch,), device=device)

    def once() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=format.mixed):
            logits = step(images).logits
        F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    counter = FlopCounterMode(display=False)
    few = images[:2]  # batch norm needs two
    with counter:
        F.cross_entropy(built(few).logits, labels[:2]).backward()  # type: ignore[no-untyped-call]
    optimizer.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = _seconds(once, device, steps)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return PlainCost(batch / seconds, counter.get_total_flops() / len(few) * batch / seconds, peak)


def _seconds(once: Callable[[], object], device: torch.device, steps: int) -> float:
    """Median over steps, after three that are left out."""
    times = []
    for _ in range(3 + steps):
        began = time.perf_counter()
        once()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return median(times[3:])


def matmul_flops(format: Format, device: torch.device, side: int = MATMUL_SIDE) -> float:
    """Measure a large square product: the operations a second that this device reaches in this format."""
    dtype = torch.bfloat16 if format.mixed else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    with products(format.products):
        return 2 * side**3 / _seconds(lambda: a @ b, device, 5)


def drawn_data(folder: Path, size: int, rows: int) -> Path:
    """Pack a data set of random images."""
    rng = np.random.default_rng(0)

    def chunks() -> Iterator[Chunk]:
        first = 0
        for split, count in (("train", rows), ("val", rows // 4), ("test", rows // 4)):
            images = rng.integers(256, size=(count, 3, size, size), dtype=np.uint8)
            ids = np.arange(first, first + count)
            yield Chunk(split, images, ids % CLASSES, ids)  # type: ignore[arg-type]
            first += count

    out = folder / f"drawn-{size}"
    write_shards(out, out.name, [str(c) for c in range(CLASSES)], "drawn", chunks())
    return out


@dataclass(frozen=True)
class UnlearnCost:
    """An unlearning step of the default method, with its data read from shards."""

    rows_per_second: float
    plain: float
    """Seconds of a plain training step on as many rows, divided by those of the step."""
    data_share: float
    """Share of the step that waits for data (0..1)."""
    peak_bytes: int


def unlearn_cost(config: RunConfig, steps: int) -> UnlearnCost:
    """Measure the unlearning step of a configuration in this process."""
    cost = measure(config, steps)
    device = torch.device("cuda" if config.workers.gpu else "cpu")
    parts, _ = speeds(config, Hooks(device=device), steps)
    shares = [part["data_seconds"] / sum(v for k, v in part.items() if k.endswith("_seconds")) for part in parts]
    assert cost.plain is not None
    return UnlearnCost(cost.rows / cost.seconds, cost.plain, median(shares), cost.peak_bytes)


def unlearn_config(model: Mapping[str, object], data: Path, batch: int, gpu: bool, precision: str) -> RunConfig:
    """Return a run of the default method that forgets a class of the drawn data, with plain SGD at rate 1."""
    return config_from(
        {
            "data": {"path": str(data)},
            "model": dict(model),
            "request": {"kind": "by_class", "classes": [1]},
            "batches": {"forget_batch": batch, "retain_batch": batch},
            "workers": {"gpu": gpu, "precision": precision},
            "optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0},
        }
    )


def gradient_distance(configs: Sequence[RunConfig]) -> float:
    """Return the relative L2 distance of the first step's gradients of two runs, e.g. in bfloat16 and float32.

    Args:
        configs: Two runs whose optimizer is plain SGD at rate 1: a step changes the weights by the gradient.
    """
    gradients = []
    for config in configs:
        device = torch.device("cuda" if config.workers.gpu else "cpu")
        loop = fresh_loop(config, Hooks(device=device), 1)
        before = [p.detach().clone() for p in loop.model.parameters()]
        run_loop(loop)
        after = loop.model.parameters()
        gradients.append(torch.cat([(b - a.detach()).flatten() for b, a in zip(before, after, strict=True)]))
    return float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
