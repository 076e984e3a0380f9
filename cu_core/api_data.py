"""Data sets and forget requests from a notebook or another trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cu_core.config_io import config_from
from cu_core.data.convert import SplitPlan, assign_splits
from cu_core.data.datasets import Rows, dataset_source
from cu_core.data.requests import ForgetSet, resolve_request
from cu_core.data.schema import SPLITS, Split
from cu_core.data.shard_reader import ShardReader
from cu_core.data.shard_writer import write_shards
from cu_core.errors import UserError


def open_data(
    source: str | Path | Rows,
    folder: str | Path | None = None,
    *,
    test: Rows | None = None,
    class_names: Sequence[str] | None = None,
    val_frac: float = 0.1,
    test_frac: float = 0.2,
) -> ShardReader:
    """Open a packed data set, or pack a map-style ``torch.utils.data.Dataset`` first.

    Args:
        source: Folder of a packed data set, or a data set whose rows are ``(image, label)``. The image is a PIL image
            or uint8 ``(channels, height, width)``, all of one size; the label is a whole number.
        folder: Folder to pack the data set into. If it exists, it is opened and nothing is packed.
        test: Rows for the final figures. Default: ``test_frac`` of ``source``.
        class_names: Names of the classes. Default: ``source.classes``, or the numbers up to the largest label in
            ``source.targets``.
        val_frac: Fraction of ``source`` that is set aside to decide when to stop.
        test_frac: Fraction of ``source`` that is set aside for the final figures if ``test`` is not given.

    Returns:
        A reader of the packed data set.

    Raises:
        UserError: An image or label cannot be used (the message names the row), or ``folder`` or the class names are
            missing.
    """
    if isinstance(source, str | Path):
        return ShardReader(source)
    if folder is None:
        raise UserError("open_data(dataset, folder): name the folder to pack the data set into.")
    if not Path(folder).exists():
        names = class_names if class_names is not None else _numbered(source)
        parts: dict[Split, Rows] = {"train": source} if test is None else {"train": source, "test": test}
        packed = dataset_source(type(source).__name__, parts, names)
        plan = SplitPlan(val_frac, test_frac)
        write_shards(Path(folder), packed.name, packed.class_names, "a data set", assign_splits(packed, plan))
    reader = ShardReader(folder)
    rows = sum(reader.num_rows(split) for split in SPLITS)
    if rows != len(source) + (len(test) if test is not None else 0):
        raise UserError(f"open_data: {folder} holds {rows} rows of another data set; name another folder.")
    return reader


def _numbered(source: Rows) -> list[str]:
    if names := getattr(source, "classes", None):
        return [str(name) for name in names]
    targets = getattr(source, "targets", None)
    if targets is None or not len(targets):
        raise UserError("open_data: the data set has neither classes nor targets; give class_names.")
    return [str(number) for number in range(1 + max(int(label) for label in targets))]


def select(data: ShardReader, **request: Any) -> ForgetSet:
    """Resolve a forget request, e.g. ``select(data, classes=[3])`` or ``select(data, kind="by_id", path="ids.csv")``.

    Args:
        data: The packed data set.
        **request: The section ``request`` of a run's configuration; ``kind`` defaults to ``by_class``.

    Returns:
        The forget set: K rows of the training split as ``rows`` (K,), and their ids as ``sample_ids`` (K,).

    Raises:
        UserError: The request names something that does not exist, selects no row, or selects every row.
    """
    return resolve_request(config_from({"request": request}).request, data)
