"""Pack a source into shards, or register Arrow shards where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cu_core.data.captions import captioned
from cu_core.data.coco_source import coco
from cu_core.data.csv_source import csv
from cu_core.data.emoji_source import emoji
from cu_core.data.folder_source import folder
from cu_core.data.held_out import held_out
from cu_core.data.hf_source import hugging_face
from cu_core.data.image_check import checked, decoded
from cu_core.data.order import EpochOrder
from cu_core.data.parquet_source import parquet
from cu_core.data.registered import register_arrow
from cu_core.data.schema import Manifest, Split
from cu_core.data.shard_writer import SHARD_ROWS, Chunk, ShardWriter, refuse_existing
from cu_core.data.sources import Source, SourceOptions, digits, fashion_mnist, torchvision_set
from cu_core.data.stamps_source import stamps
from cu_core.data.webdataset_source import webdataset
from cu_core.errors import DataError

SOURCES: dict[str, Callable[[str, SourceOptions], Source]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "torchvision": torchvision_set,
    "folder": folder,
    "parquet": parquet,
    "webdataset": webdataset,
    "coco": coco,
    "csv": csv,
    "hf": hugging_face,
    "emoji": emoji,
    "stamps": stamps,
}
IN_LANGUAGES = ("emoji", "stamps")
"""Sources with captions in several languages."""
Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""


@dataclass(frozen=True)
class SplitPlan:
    """How the source's training rows are split; the split of a row depends only on ``seed`` and the row's number."""

    val_frac: float = 0.1
    test_frac: float = 0.2
    """Used only where the source has no test split of its own."""
    train_rows: int | None = None
    """Keep this many training rows; absent: all."""
    seed: int = 0

    def sizes(self, counts: Mapping[Split, int]) -> tuple[int, int, int]:
        """Return the (val, test, train) rows taken from the source's training rows.

        Raises:
            DataError: There are fewer training rows than ``train_rows``.
        """
        count = counts.get("train", 0)
        val = 0 if "val" in counts else round(count * self.val_frac)
        test = 0 if "test" in counts else round(count * self.test_frac)
        train = count - val - test
        if self.train_rows is not None:
            if not 0 < self.train_rows <= train:
                raise DataError(
                    f"--train-rows must lie between 1 and {train} (rows left after val and test), "
                    f"got {self.train_rows}."
                )
            train = self.train_rows
        return val, test, train


def assign_splits(source: Source, plan: SplitPlan) -> Iterator[Chunk]:
    """Yield the source's chunks with every training row assigned to its split, or dropped."""
    val, test, train = plan.sizes(source.counts)
    targets: tuple[tuple[Split, int], ...] = (("val", val), ("test", test), ("train", train))
    order = EpochOrder(source.counts["train"], plan.seed) if source.counts.get("train") else None
    seen = 0
    for chunk in source.read():
        if chunk.split != "train" or order is None:
            yield chunk
            continue
        place = order.at(seen, len(chunk.labels))
        seen += len(chunk.labels)
        first = 0
        for split, size in targets:
            rows = np.flatnonzero((place >= first) & (place < first + size))
            first += size
            yield replace(chunk.rows(rows), split=split)


def _counted(chunks: Iterator[Chunk], total: int, progress: Progress) -> Iterator[Chunk]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk.labels)
        progress(min(done, total), total)


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


def _tell_nobody(notes: Mapping[str, int]) -> None:
    return


def pack(
    spec: str,
    out: Path,
    plan: SplitPlan,
    options: SourceOptions,
    progress: Progress,
    *,
    say: Callable[[Mapping[str, int]], None] = _tell_nobody,
    check_progress: Progress = no_progress,
) -> Manifest:
    """Write a source as a packed data set.

    Args:
        spec: ``digits``, ``fashion-mnist:DIR``, ..., ``arrow:DIR``.
        out: Folder to write; it must not exist.
        plan: How training rows are split.
        options: Options of the source.
        progress: Called with rows done and rows in total.
        say: Called with the source's notes when it is opened, and again before anything is written.
        check_progress: The same, while the images are checked, before anything is written.

    Returns:
        The manifest.

    Raises:
        DataError: The source is unknown or unusable, or ``out`` exists.
    """
    kind, _, argument = spec.partition(":")
    if kind == "arrow":
        return register_arrow(argument, out, options, progress, say)
    if kind not in SOURCES:
        hint = f" Say how to read it, e.g. folder:{kind}." if Path(kind).exists() else ""
        raise DataError(f"unknown source {kind!r}; sources: {', '.join([*SOURCES, 'arrow'])}.{hint}")
    if options.languages and kind not in IN_LANGUAGES:
        raise DataError(f"--language is for {' and '.join(f'{k}:' for k in IN_LANGUAGES)}, not {kind}:.")
    refuse_existing(out)
    source = SOURCES[kind](argument, options)
    say(source.notes)
    source = checked(source, options, check_progress) if options.check else source
    source = captioned(source, options.captions) if options.captions else source
    source = decoded(source, options.decode_size, options.max_pixels) if options.decode_size else source
    source = held_out(source, options.test_where) if options.test_where else source
    total = sum(plan.sizes(source.counts)) + sum(n for s, n in source.counts.items() if s != "train")
    say(source.notes)
    shard_rows = options.shard_rows or SHARD_ROWS
    with ShardWriter(out, source.name, source.class_names, spec, shard_rows) as writer:
        for chunk in _counted(assign_splits(source, plan), total, progress):
            writer.add(chunk)
        return writer.finish(source.notes, source.id_column, source.label_values)
