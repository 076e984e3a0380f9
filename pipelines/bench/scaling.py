"""``cu bench scaling``: the same global step on several numbers of Ray workers."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.table import Table

from cu_core.bench import speeds
from cu_core.config import RunConfig
from cu_core.dist import rank
from cu_core.errors import ConfigError
from cu_core.files import write_text
from cu_core.run import Hooks
from cu_core.storage import fetched
from pipelines.cluster.session import check_room, ray_session, resources
from pipelines.console import console
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line, machine
from pipelines.run.folder import RunFolder
from pipelines.run.plan import absolute
from pipelines.run.ray_train import train_workers

PAYS = 0.9
"""The advice is the smallest number of workers that reaches this fraction of the highest rate."""
MOST_A_CPU = 4
HEADINGS = (
    "workers",
    "rows a second",
    "against one",
    "computing",
    "waiting",
    "MB a step and worker",
    "peak memory (MiB)",
)


@dataclass(frozen=True)
class Scale:
    """The step on one number of workers: medians over steps, measured on rank 0."""

    workers: int
    rows_per_second: float
    computing: float
    """Fraction of the step in forward and backward passes."""
    communicating: float
    """Fraction of the step that waits for collectives."""
    bytes: float
    """Bytes that a worker gives to collectives in a step."""
    peak_bytes: int
    """Peak memory of a worker during its steps, including weights."""
    threads: int
    workers_per_cpu: float


@dataclass(frozen=True)
class _Job:
    """Function of every worker. Rank 0 writes its measurements."""

    config: RunConfig
    steps: int
    target: Path

    def __call__(self, device: torch.device, wrap: Any, report: Callable[..., None], checkpoint: Path | None) -> None:
        found, peak = speeds(self.config, Hooks(device=device, wrap=wrap), self.steps)
        if rank() == 0:
            write_text(self.target, json.dumps({"speeds": found, "peak": peak, "threads": torch.get_num_threads()}))


def measure(config: RunConfig, count: int, steps: int, cpus: float) -> Scale:
    """Measure the step of ``config`` on ``count`` Ray Train workers.

    If the cluster has fewer CPUs than workers, several workers share a CPU.
    """
    cpu = min(config.workers.cpus, cpus / count)
    shard = config.workers.shard and count > 1
    config = replace(config, workers=replace(config.workers, count=count, min_count=None, cpus=cpu, shard=shard))
    check_room(config.workers)
    place = RunFolder(config.store / "bench" / f"workers-{count}-{uuid.uuid4().hex[:8]}")
    target = place.path / "speeds.json"
    try:
        train_workers(_Job(config, steps, target), config, place)
        fetched(target)
        seen = json.loads(target.read_text())
    finally:
        shutil.rmtree(place.path, ignore_errors=True)
    found: list[dict[str, float]] = seen["speeds"]

    def share(*parts: str) -> float:
        """Return the fraction of these parts in the seconds of all steps."""
        whole = [sum(v for k, v in step.items() if k.endswith("_seconds")) for step in found]
        return sum(step[f"{part}_seconds"] for step in found for part in parts) / sum(whole)

    return Scale(
        count,
        median(step["rows_per_second"] for step in found),
        share("forward", "backward"),
        share("communication"),
        median(step["communicated_bytes"] for step in found),
        seen["peak"],
        seen["threads"],
        1 / cpu if cpu < 1 else 1.0,
    )


def advice(scales: Sequence[Scale]) -> list[str]:
    """Return the recommended number of workers, and why larger numbers are not better."""
    best = max(scale.rows_per_second for scale in scales)
    advised = min((s for s in scales if s.rows_per_second >= PAYS * best), key=lambda s: s.workers)
    lines = [f"Advice: workers.count={advised.workers}."]
    for scale in (s for s in scales if s.workers > advised.workers):
        ratio = scale.rows_per_second / advised.rows_per_second
        slower = "slower" if ratio < 1 else f"no more than {100 * (ratio - 1):.0f}% faster"
        reasons = [f"{100 * scale.communicating:.0f}% of a step waits for other workers"]
        if scale.workers_per_cpu > 1:
            reasons.append(f"{scale.workers_per_cpu:g} workers share a CPU, so that nothing is shown of real ones")
        lines.append(f"{scale.workers} workers are {slower} ({ratio:.2f} times the rows): {'; '.join(reasons)}.")
    return lines


def _cells(scale: Scale, first: Scale) -> list[str]:
    shared = f" ({scale.workers_per_cpu:g} a CPU)" if scale.workers_per_cpu > 1 else ""
    return [
        f"{scale.workers}{shared}",
        f"{scale.rows_per_second:.1f}",
        f"{scale.rows_per_second / first.rows_per_second:.2f}",
        f"{100 * scale.computing:.0f}%",
        f"{100 * scale.communicating:.0f}%",
        f"{scale.bytes / 1e6:.2f}",
        f"{scale.peak_bytes / 2**20:,.0f}",
    ]


def run_scaling(config: RunConfig, counts: Sequence[int], steps: int, out: Path | None) -> None:
    """Measure, and print the table and the advice. With ``out``, also write them.

    Raises: ConfigError for counts or steps below 1, or for more workers than GPUs.
    """
    check_out(out)
    if steps < 1 or not counts or min(counts) < 1:
        raise ConfigError("--steps and every --workers must be at least 1.")
    if config.method.closed_form:
        raise ConfigError(f"method.name={config.method.name} takes no steps: there is nothing to measure.")
    config = absolute(config)
    scales: list[Scale] = []
    alone = replace(config, workers=replace(config.workers, count=1, min_count=None, shard=False))
    with ray_session(alone):
        have = resources()
        if config.workers.gpu and max(counts) > have["GPU"]:
            raise ConfigError(f"--workers {max(counts)}: the cluster has {have['GPU']:.0f} GPUs.")
        if max(counts) > MOST_A_CPU * have["CPU"]:
            raise ConfigError(
                f"--workers {max(counts)}: the cluster has {have['CPU']:.0f} CPUs; a measurement with more than "
                f"{MOST_A_CPU} workers per CPU is not meaningful."
            )
        for count in sorted(set(counts)):
            console.print(f"measuring {count} (start-up takes about 15 s)", highlight=False)
            scales.append(measure(config, count, steps, have["CPU"]))
    _show(config, scales, steps, out)


def _show(config: RunConfig, scales: Sequence[Scale], steps: int, out: Path | None) -> None:
    batches = config.batches
    title = (
        f"{config.method.name}, global batch {batches.forget_batch} + {batches.retain_batch} on any number of workers; "
        f"{scales[0].threads} thread(s) per worker"
    )
    shown = Table(title=title)
    for heading in HEADINGS:
        shown.add_column(heading, justify="right")
    for scale in scales:
        shown.add_row(*_cells(scale, scales[0]))
    console.print(shown)
    lines = advice(scales)
    if config.workers.shard:
        lines.append("Weights are spread over workers: waiting for weights and gradients counts as computing.")
    for line in lines:
        console.print(line, highlight=False)
    if out is not None:
        table = markdown_table(HEADINGS, [_cells(scale, scales[0]) for scale in scales])
        about = f"{title}; {steps} steps after a first one; {machine()}."
        text = "\n\n".join([f"```\n{command_line()}\n```", about, table, "\n".join(lines)])
        write_text(out, text + "\n")
        console.print(f"written to {out}")
