"""Captions made of class names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from cu_core.data.order import hash64
from cu_core.data.schema import CAPTION
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import PAIRS, Source
from cu_core.errors import DataError
from cu_core.salts import Salt


def captioned(source: Source, templates: Sequence[str]) -> Source:
    """Return the source with a caption made from a template for each row.

    The template is drawn by the sample_id. ``{class}`` is replaced by the row's class name and ``{id}`` by its
    sample_id (which gives each row a caption of its own, which a model can only memorise).

    Args:
        source: A source with classes.
        templates: Captions that contain ``{class}``.

    Returns:
        The source with captions.

    Raises:
        DataError: A template lacks ``{class}``, or the source has no classes.
    """
    if source.class_names == PAIRS:
        raise DataError("--caption makes captions of class names; this source has captions and no classes.")
    for template in templates:
        if "{class}" not in template:
            raise DataError(f"--caption {template!r} must hold {{class}}, the place of the class name.")

    def read() -> Iterator[Chunk]:
        for chunk in source.read():
            drawn = (hash64(chunk.sample_ids, Salt.CAPTION) % np.uint64(len(templates))).astype(int)
            names = [source.class_names[label] for label in chunk.labels]
            rows = zip(drawn, names, chunk.sample_ids, strict=True)
            texts = [[templates[d].replace("{class}", n).replace("{id}", str(i))] for d, n, i in rows]
            column = pa.array(texts, pa.list_(pa.string()))
            extra = chunk.extra.append_column(CAPTION, column) if chunk.extra else pa.table({CAPTION: column})
            yield replace(chunk, extra=extra)

    return replace(source, read=read)
