"""The copies that were found in a data set, as one self-contained HTML page: a contact sheet, the most alike first."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cu_core.data.duplicate_table import Duplicates
from cu_core.data.duplicates import CAPTION_KINDS, IMAGE_KINDS, LIMITS
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.data.stored_images import decoders
from cu_core.errors import DataError
from cu_core.files import write_text
from pipelines.report.audit_page import environment

MOST_SHOWN = 200
"""Pairs of a kind on the page."""
SIDE = 96
"""Longest side of a picture in pixels."""
LONGEST_CAPTION = 300
ABOUT = {
    "exact": "The decoded pixels are equal.",
    "near": "The perceptual hashes are alike: the same picture in another size, quality or brightness.",
    "mirrored": "The perceptual hash is like that of the mirror image.",
    "content": "The features of the model are alike.",
    "same caption": "The captions are equal apart from case, punctuation and the form of accents.",
    "near caption": "The captions are alike.",
}


def write_page(target: Path, reader: ShardReader, found: Duplicates, title: str, rate: float) -> None:
    """Write the page; of each kind, the most alike pairs are shown."""
    kinds = [kind for kind in (*IMAGE_KINDS, *CAPTION_KINDS) if found.count(kind)]
    sheets = {kind: _pairs(reader, found, kind) for kind in kinds}
    rows = [
        (name, found.limits[name].told, sum(found.count(kind) for kind, limit in LIMITS.items() if limit == name))
        for name in found.limits
    ]
    html = (
        environment()
        .get_template("duplicates.html.jinja")
        .render(
            title=title,
            digest=reader.manifest.digest,
            exact=found.count("exact"),
            limits=rows,
            rate=rate,
            num_pairs=found.num_pairs,
            by_chance=rate * found.num_pairs,
            notes=found.notes,
            kinds={kind: (ABOUT[kind], found.count(kind), sheets[kind]) for kind in kinds},
        )
    )
    write_text(target, html)


def _pairs(reader: ShardReader, found: Duplicates, kind: str) -> list[dict[str, Any]]:
    places = np.flatnonzero(found.table["kind"].to_numpy() == kind)[:MOST_SHOWN]
    lines = found.table.take(places).to_pylist()
    sides = ("split", "row"), ("copy_of_split", "copy_of_row")
    pictures = [[_picture(reader, line[split], line[row]) for split, row in sides] for line in lines]
    texts = [[""] * 2 for _ in lines]
    if kind in CAPTION_KINDS:
        texts = [[_caption(reader, line[split], line[row]) for split, row in sides] for line in lines]
    return [
        {**line, "pictures": shown, "captions": told} for line, shown, told in zip(lines, pictures, texts, strict=True)
    ]


def _picture(reader: ShardReader, split: Split, row: int) -> str:
    """Return an image as a data URI; empty where it does not decode."""
    (decode,) = decoders(reader, split, np.array([row]))
    try:
        pixels = decode()
    except DataError:
        return ""
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels.mean(2).round().astype(np.uint8))
    image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _caption(reader: ShardReader, split: Split, row: int) -> str:
    texts: Sequence[str] = reader.captions(split, np.array([row]))[0]
    text = " / ".join(texts)
    return text if len(text) <= LONGEST_CAPTION else f"{text[:LONGEST_CAPTION]}..."
