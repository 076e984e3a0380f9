"""Decodes the images of a source before anything is written, and names or leaves out those that cannot be used."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa

from cu_core.data.column_views import encoded_view
from cu_core.data.images import LARGEST_MAX_PIXELS, Encoded, decode, is_animated, pixels
from cu_core.data.schema import Split
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import DataError, listed

Item = TypeVar("Item")
Result = TypeVar("Result")
AT_ONCE = 64
"""Images that wait for a thread."""
ANIMATED = "animated or of several pages, read: the first"
BAD = "left out, does not decode"
Progress = Callable[[int, int], None]
"""Called with images done and images in all."""


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield ``work`` of each item in order, with few items held at once; Pillow decodes without Python's lock."""
    remaining = iter(items)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while part := list(islice(remaining, AT_ONCE)):
            yield from pool.map(work, part)


def image_problem(data: Encoded, max_pixels: int) -> str:
    """Return why an image file cannot be read; empty if it can."""
    try:
        pixels(data, max_pixels=max_pixels)
    except DataError as error:
        return str(error)
    return ""


def bad_images(column: pa.Array, max_pixels: int = LARGEST_MAX_PIXELS) -> Iterator[tuple[int, str]]:
    """Yield the row, and what is wrong, of each image of a column that cannot be read."""
    get = encoded_view(column)
    problems = in_threads(partial(image_problem, max_pixels=max_pixels), map(get, range(len(column))))
    return ((row, problem) for row, problem in enumerate(problems) if problem)


def _looked_at(data: Encoded, max_pixels: int) -> tuple[str, bool]:
    problem = image_problem(data, max_pixels)
    return problem, not problem and is_animated(data, max_pixels)


def checked(source: Source, options: SourceOptions, progress: Progress) -> Source:
    """Decode every image of a source as training will.

    Args:
        source: Source of image files; one of arrays is returned as it is.
        options: With ``skip_bad``, images that do not decode are left out and counted; else they are refused.
        progress: Called with images done and images in all.

    Returns:
        The source, with what was found in its notes.

    Raises:
        DataError: Images do not decode; the message names them.
    """
    bad: dict[int, str] = {}
    lost: Counter[Split] = Counter()
    num_animated = seen = 0
    total = sum(source.counts.values())
    for chunk in source.read():
        if not isinstance(chunk.images, list):
            return source
        look = partial(_looked_at, max_pixels=options.max_pixels)
        for row, (problem, moves) in enumerate(in_threads(look, chunk.images)):
            num_animated += moves
            if problem:
                bad[seen + row] = f"{_name(chunk, row)}: {problem}"
                lost[chunk.split] += 1
        seen += len(chunk.labels)
        progress(seen, total)
    if bad and not options.skip_bad:
        raise DataError(
            f"images that cannot be used, {listed(list(bad.values()))} Nothing was written. Mend or remove them, or "
            f"leave them out with --skip-bad."
        )
    found = {ANIMATED: num_animated, BAD: len(bad)}
    notes = {**source.notes, **{what: count for what, count in found.items() if count}}
    return _without(replace(source, notes=notes), bad, lost) if bad else replace(source, notes=notes)


def _name(chunk: Chunk, row: int) -> str:
    if chunk.places is not None:
        return chunk.places[row]
    if chunk.extra is not None and "file" in chunk.extra.column_names:
        return str(chunk.extra["file"][row])
    return f"{chunk.split} row with sample_id {chunk.sample_ids[row]}"


def _without(source: Source, bad: Mapping[int, str], lost: Mapping[Split, int]) -> Source:
    """Return the source without some of its rows."""

    def read() -> Iterator[Chunk]:
        seen = 0
        for chunk in source.read():
            kept = np.array([row for row in range(len(chunk.labels)) if seen + row not in bad], np.int64)
            seen += len(chunk.labels)
            yield chunk.rows(kept)

    return replace(source, counts={s: n - lost.get(s, 0) for s, n in source.counts.items()}, read=read)


def decoded(source: Source, size: int, max_pixels: int) -> Source:
    """Return a source of image files as one of RGB images of one size, resized and cropped as for training.

    Raises:
        DataError: The source has no image files. Reading it raises if an image does not decode.
    """

    def read() -> Iterator[Chunk]:
        for chunk in source.read():
            if not isinstance(chunk.images, list):
                raise DataError(f"--decode is for image files; {source.name} holds images of one size already.")
            one = partial(_decoded, chunk, size=size, max_pixels=max_pixels)
            images = list(in_threads(one, range(len(chunk.images))))
            if images:
                yield replace(chunk, images=np.stack(images))

    return replace(source, read=read)


def _decoded(chunk: Chunk, row: int, size: int, max_pixels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        return decode(chunk.images[row], 3, size, max_pixels).numpy()
    except DataError as error:
        raise DataError(f"{_name(chunk, row)}: {error}") from error
