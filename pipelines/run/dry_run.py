"""``cu unlearn --dry-run``: what a run would do, from the resolved plan and two measured steps."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterable

import psutil
import torch
from rich.table import Table

from cu_core.config import RunConfig
from cu_core.run import fresh_model
from cu_core.storage import fetched
from pipelines.console import console
from pipelines.run.plan import Plan, about_request, make_plan


def rows_per_second(plan: Plan, rows: int) -> tuple[float, int]:
    """(rows a second of forward and backward in this process, growth of its memory in bytes)."""
    config, reader = plan.config, plan.reader
    model = fresh_model(config, reader, 0).train()
    images = torch.zeros((rows, *reader.image_shape), dtype=torch.uint8)
    before = psutil.Process().memory_info().rss
    model(images).logits.sum().backward()
    began = time.perf_counter()
    model(images).logits.sum().backward()
    return rows / (time.perf_counter() - began), psutil.Process().memory_info().rss - before


def describe_run(config: RunConfig) -> None:
    """Print the plan; nothing stays on disk."""
    with tempfile.TemporaryDirectory() as place:
        # The request is resolved under another storage, so that a dry run leaves nothing behind.
        scratch = make_plan(dataclasses.replace(config, storage=place))
        split = scratch.split
        real = dataclasses.replace(scratch.config, storage=str(config.store))
        data, request = scratch.manifest.digest, scratch.forget.digest
        oracles = {job.label: real.oracle_key(data, request, job.number) for job in scratch.oracles}
        keys = {scratch.original.label: real.original_key(data), **oracles}
        stop_rows = len(split.stop_forget) + len(split.forget_stop) + len(split.stop_retain)
        audited = (split.forget_reported, split.forget_test, split.retain_train, split.retain_test, split.holdout)
    step_rows = min(config.batches.forget_batch, len(scratch.forget.rows)) + config.batches.retain_batch
    speed, memory = rows_per_second(scratch, step_rows)
    steps = config.stop.max_steps
    checks = steps // config.stop.check_every + 1 if config.stop.rule != "none" else 0
    table = Table("part", "rows", "steps", "expected on this machine, one worker", title="dry run: nothing is written")

    def add(part: str, rows: float, count: str, speed: float) -> None:
        table.add_row(part, f"{rows:.0f}", count, f"{rows / speed:.0f} s")

    for label, key in keys.items():
        rows = config.train.epochs * (
            split.num_train if label == scratch.original.label else split.num_train - len(scratch.forget.rows)
        )
        if fetched(real.store / "models" / key / "meta.json"):
            table.add_row(label, "0", "0", "found, not trained again")
        else:
            add(label, rows, f"{rows / config.train.batch:.0f}", speed)
    add("unlearn, at most", steps * step_rows, str(steps), speed)
    add(f"stop checks, {checks} of {stop_rows} rows", checks * stop_rows, "", 3 * speed)
    models = 2 + config.audit.oracles
    add(f"audit of {models} models", models * sum(map(len, audited)), "", 3 * speed)
    console.print(table)
    told = [
        about_request(scratch),
        f"{scratch.config.workers.count} worker(s); about {memory / 2**20:.0f} MiB a worker above the libraries' own",
        f"would write under {real.store}: {_written(real, request, keys.values())}",
    ]
    console.print("\n".join(told), highlight=False, markup=False, soft_wrap=True)


def _written(config: RunConfig, request: str, keys: Iterable[str]) -> str:
    models = [f"models/{key}" for key in keys if not fetched(config.store / "models" / key / "meta.json")]
    run = f"runs/{config.name or '(named by data, time and hash)'}"
    files = "config.yaml, checkpoints, unlearned, audit.json, samples.parquet, report.html, result.json"
    return ", ".join([f"requests/{request}", *models, f"{run} ({files})"]) + " and the MLflow run"
