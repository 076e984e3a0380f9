"""``cu bench loader``: rows a second that the reader gives, by number of threads, beside the bare decoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from cu_core.config import RunConfig
from cu_core.data.column_views import encoded_view, tensor_view
from cu_core.data.images import decode
from cu_core.data.shard_reader import ShardReader
from cu_core.dist import use_cpus
from cu_core.errors import UserError
from cu_core.files import write_text
from cu_core.workspace import Workspace
from pipelines.console import console
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line, machine

BATCH = 256
HEADINGS = ("reader", "threads", "rows a second", "of one thread")


def _speed(read: Callable[[np.ndarray], object], batches: Sequence[np.ndarray]) -> float:
    read(batches[0])  # what is opened once
    begun = time.perf_counter()
    for rows in batches:
        read(rows)
    return sum(map(len, batches)) / (time.perf_counter() - begun)


def _bare(reader: ShardReader) -> Callable[[np.ndarray], object]:
    """The same rows without the reader: of image files the decoder alone, of tensors one copy by NumPy."""
    shard = reader.manifest.split_shards("train")[0]
    column = reader.batches(shard)[0].column(reader.manifest.column("image"))
    if reader.manifest.image_shape is None:
        get, (_, size, _) = encoded_view(column), reader.image_shape
        return lambda rows: [decode(get(int(row) % len(column)), reader.channels, size) for row in rows]
    view = tensor_view(column)
    return lambda rows: view.take(rows % len(column), axis=0)


def run_loader(config: RunConfig, threads: Sequence[int], rows: int, out: Path | None) -> None:
    """Measure, print and, with ``out``, write."""
    check_out(out)
    if min(threads, default=0) < 1 or rows < 1:
        raise UserError("--rows and every --threads must be at least 1.")
    reader = Workspace(config).reader
    order = np.random.default_rng(config.seed).integers(reader.num_rows("train"), size=rows)
    batches = np.array_split(order, max(1, rows // BATCH))
    before = torch.get_num_threads()
    found: list[tuple[str, int, float]] = [
        ("bare decoder" if reader.manifest.image_shape is None else "numpy.take", 1, _speed(_bare(reader), batches))
    ]
    for count in threads:
        use_cpus(count)
        found.append(("reader", count, _speed(lambda rows: reader.images("train", rows), batches)))
    use_cpus(before)
    first = found[1][2]
    cells = [[name, str(count), f"{speed:,.0f}", f"{speed / first:.2f}"] for name, count, speed in found]
    shown = Table(title=f"{rows} random rows of {config.data.path}")
    for heading in HEADINGS:
        shown.add_column(heading)
    for line in cells:
        shown.add_row(*line)
    console.print(shown)
    if out is not None:
        about = f"{rows} random rows in batches of {BATCH}; {machine()}."
        write_text(out, f"```\n{command_line()}\n```\n\n{about}\n\n{markdown_table(HEADINGS, cells)}\n")
        console.print(f"written to {out}")
