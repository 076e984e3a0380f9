"""``cu bench growth``: what an unlearning costs by retain rows, classes and forget rows, on random tiny images."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from cu_core.bench import fresh_loop, peak_memory
from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.data.shard_writer import Chunk, write_shards
from cu_core.errors import ConfigError
from cu_core.files import write_text
from cu_core.run import Hooks
from cu_core.types import StepReport
from cu_core.unlearn.loop import run_loop
from pipelines.bench.growth_page import AXES, page, plot
from pipelines.console import console
from pipelines.report.markdown import check_out

SIDE = 8
"""Pixels of an image's side; images are grey, 64 bytes."""
ROWS_AT_ONCE = 65_536
"""Rows of a shard."""
UNSEEN = 2_000
"""Rows of val, and of test."""
MOST_ROWS = 10**8


@dataclass(frozen=True)
class Cell:
    """Sizes of one measurement."""

    retain: int
    classes: int
    forget: int
    steps: int

    @property
    def name(self) -> str:
        """Name of the cell's file."""
        return "-".join(f"{key}-{value}" for key, value in asdict(self).items())


@dataclass(frozen=True)
class Cost:
    """What a cell costs."""

    first_step_seconds: float
    """From the configuration to the end of the first step: data opened, request resolved, model built, one step."""
    seconds: float
    """The whole, with all steps."""
    peak_bytes: int
    """Most memory above that of the process with its libraries."""


def cells(retain: Sequence[int], classes: Sequence[int], forget: Sequence[int], steps: int) -> list[Cell]:
    """Return a cell for every size of each axis; the other two axes are at their base, the first size.

    Raises: ConfigError for sizes that cannot be measured.
    """
    if steps < 1 or not (retain and classes and forget) or min(*retain, *classes, *forget) < 1:
        raise ConfigError("--steps and every --retain, --classes and --forget must be at least 1.")
    if min(classes) < 2:
        raise ConfigError(f"--classes must be at least 2, got {min(classes)}.")
    if max(retain) + max(forget) > MOST_ROWS:
        raise ConfigError(f"--retain and --forget: at most {MOST_ROWS:,} rows together are written.")
    found = [Cell(n, classes[0], forget[0], steps) for n in retain]
    found += [Cell(retain[0], n, forget[0], steps) for n in classes]
    found += [Cell(retain[0], classes[0], n, steps) for n in forget]
    return list(dict.fromkeys(found))


def write_data(folder: Path, cell: Cell) -> None:
    """Pack random images; the first ``cell.forget`` training rows are those to forget."""
    rng = np.random.default_rng(0)
    train = cell.forget + cell.retain

    def chunks() -> Iterator[Chunk]:
        for split, first, count in (
            ("train", 0, train),
            ("val", train, UNSEEN),
            ("test", train + UNSEEN, UNSEEN),
        ):
            for start in range(first, first + count, ROWS_AT_ONCE):
                ids = np.arange(start, min(start + ROWS_AT_ONCE, first + count))
                images = rng.integers(256, size=(len(ids), 1, SIDE, SIDE), dtype=np.uint8)
                yield Chunk(split, images, rng.integers(cell.classes, size=len(ids)), ids)  # type: ignore[arg-type]

    names = [str(number) for number in range(cell.classes)]
    write_shards(folder, folder.name, names, "drawn", chunks(), shard_rows=ROWS_AT_ONCE)


def config_of(data: Path, cell: Cell) -> RunConfig:
    """Return the default method on a sample request for the cell's forget rows."""
    return config_from(
        {
            "data": {"path": str(data)},
            "model": {"name": "resnet10", "width": 16},
            "request": {"kind": "by_predicate", "where": f"sample_id < {cell.forget}"},
            "stop": {"rule": "none", "max_steps": cell.steps},
        }
    )


def measure(data: Path, cell: Cell) -> Cost:
    """Measure a cell in this process."""
    device = torch.device("cpu")
    torch.set_num_threads(1)
    ends: list[float] = []

    def on_step(report: StepReport) -> None:
        ends.append(time.perf_counter())

    before = peak_memory(device, reset=True)
    began = time.perf_counter()
    run_loop(fresh_loop(config_of(data, cell), Hooks(device=device, on_step=on_step), cell.steps))
    return Cost(ends[0] - began, ends[-1] - began, peak_memory(device) - before)


def cost_of(cell: Cell, folder: Path) -> Cost:
    """Return the cost of a cell, from its file if an earlier call has measured it."""
    kept = folder / "cells" / f"{cell.name}.json"
    if kept.is_file():
        return Cost(**json.loads(kept.read_text()))
    data = folder / f"data-{cell.name}"
    shutil.rmtree(data, ignore_errors=True)  # a killed call has left it
    write_data(data, cell)
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            cost = pool.submit(measure, data, cell).result()
    finally:
        shutil.rmtree(data, ignore_errors=True)
    write_text(kept, json.dumps(asdict(cost)))
    return cost


def run_growth(folder: Path, retain: Sequence[int], classes: Sequence[int], forget: Sequence[int], steps: int) -> None:
    """Measure what ``folder`` lacks, then print the tables and write them and the plot into it."""
    wanted = cells(retain, classes, forget, steps)
    check_out(folder / "growth.md")
    costs: dict[Cell, Cost] = {}
    for number, cell in enumerate(wanted, 1):
        console.print(f"{number} of {len(wanted)}: {cell.name}", highlight=False)
        costs[cell] = cost_of(cell, folder)
    figures = [(asdict(cell), asdict(cost)) for cell, cost in costs.items()]
    base = asdict(wanted[0])
    rows = {axis: [one for one in figures if all(one[0][o] == base[o] for o in AXES if o != axis)] for axis in AXES}
    text = page(rows, base)
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    write_text(folder / "growth.svg", plot(rows))
    write_text(folder / "growth.md", text)
    console.print(f"written to {folder / 'growth.md'} and growth.svg")
