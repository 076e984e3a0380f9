"""What rows are compared by when copies are looked for: hashes of images and captions, and vectors, kept on disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cu_core.data.concepts import folded
from cu_core.data.image_check import in_threads
from cu_core.data.order import EpochOrder, Rows
from cu_core.data.schema import SPLITS, Split
from cu_core.data.shard_reader import ShardReader
from cu_core.data.stored_images import Decode, decoders
from cu_core.errors import DataError, UserError
from cu_core.messages import MOST_SHOWN
from cu_core.salts import Salt

ROWS_AT_ONCE = 512
HASH_BITS = 64
REDUCED = 32
"""Side to which an image is reduced before it is hashed."""
FLAT_RANGE = 8
"""A reduced image whose brightness spans fewer of the 256 levels has no perceptual hash: all images of one colour would
have the same."""
CAPTION_WIDTH = 1024
SAMPLE_ROWS = 5000
"""Rows on which is measured how features, and how different rows, are spread."""
RIDGE = 0.05
"""Share of the largest spread that is added to each, so that noise is not made large."""
HASHED, FLAT, UNREADABLE = 0, 1, 2
"""States of a row's image: it has a perceptual hash; it has too little structure for one; it does not decode."""
ROW = np.dtype(
    [
        ("sample_id", "<i8"),
        ("split", "u1"),
        ("row", "<i8"),
        ("label", "<i8"),
        ("state", "u1"),
        ("pixels", "<u8"),
        ("hash", "<u8"),
        ("mirrored", "<u8"),
        ("caption", "<u8"),
    ]
)
"""``split``: its place in ``SPLITS``. ``pixels``: of the decoded image and its size. ``hash`` and ``mirrored``:
perceptual hash of the image and of its mirror image. ``caption``: of the row's captions, normalised; 0: none."""
Embed = Callable[[Split, Rows], NDArray[np.float32]]
"""Split and rows -> features of a model, (N, D)."""
Progress = Callable[[int, int], None]


@dataclass
class Signatures:
    """One record for each row; in files, so that memory does not grow with the rows."""

    rows: NDArray[np.void]
    """Records of type ``ROW``, in the order of the splits and their rows."""
    vectors: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    """``content`` and ``caption``: a vector of length 1 for each row, (N, D); zeros where there is none."""
    problems: list[str] = field(default_factory=list)
    """Shard, row and reason of the first images that do not decode."""
    num_classes: int = 1

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, rows: slice | Rows) -> Signatures:
        """Return some of the rows."""
        vectors = {name: values[rows] for name, values in self.vectors.items()}
        return Signatures(self.rows[rows], vectors, num_classes=self.num_classes)

    def count(self, state: int) -> int:
        """Return the number of rows whose image is in a state."""
        return int((self.rows["state"] == state).sum())


def sign_rows(
    reader: ShardReader,
    folder: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    embed: Embed | None = None,
    captions: bool = False,
    progress: Progress = lambda done, total: None,
) -> Signatures:
    """Read every row once and keep what it is compared by.

    Args:
        reader: The data set.
        folder: Folder for the files, about 50 bytes a row, and 2 bytes a number of each vector.
        splits: Splits that are read.
        embed: Features of a model; absent: contents are not compared.
        captions: Whether captions are read too.
        progress: Called with rows done and rows in total.

    Returns:
        The signatures.

    Raises:
        DataError: A shard is damaged, or a row has no caption.
        UserError: Features are not finite numbers.
    """
    total = sum(reader.num_rows(split) for split in splits)
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", ROW, (total,))
    found = Signatures(rows, num_classes=reader.manifest.num_classes)
    first = 0
    for split in splits:
        for start in range(0, reader.num_rows(split), ROWS_AT_ONCE):
            block = np.arange(start, min(start + ROWS_AT_ONCE, reader.num_rows(split)))
            part = slice(first, first + len(block))
            rows[part] = _signed(reader, split, block, found.problems)
            if captions:
                texts = normalised_captions(reader, split, block)
                rows["caption"][part] = [_hash64(text.encode()) if text else 0 for text in texts]
                _put(found, folder, "caption", part, caption_vectors(texts))
            if embed is not None:
                readable = rows["state"][part] != UNREADABLE
                features = embed(split, block[readable])
                if not np.isfinite(features).all():
                    raise UserError(
                        "the model gives features that are not finite numbers; rows cannot be compared by it."
                    )
                _put(found, folder, "content", part, _spread(features, readable))
            first += len(block)
            progress(first, total)
    if "content" in found.vectors:
        whiten(found.vectors["content"])
    return found


def whiten(vectors: NDArray[np.float16]) -> None:
    """Give the features of a model equal spread in all directions, in place, so that few of them do not decide.

    With fewer rows than features nothing is changed.

    Args:
        vectors: Features of length 1, (N, D); zeros where a row has none.
    """
    drawn = np.sort(EpochOrder(max(len(vectors), 1), Salt.COPY_SAMPLE).at(0, min(len(vectors), SAMPLE_ROWS)))
    sample = vectors[drawn].astype(np.float32)
    sample = sample[np.abs(sample).max(1, initial=0) > 0]
    if len(sample) <= vectors.shape[1]:
        return
    mean = sample.mean(0)
    _, spread, directions = np.linalg.svd(sample - mean, full_matrices=False)
    scaled = directions.T / (spread + RIDGE * spread[0])
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        block = vectors[start : start + ROWS_AT_ONCE].astype(np.float32)
        there = np.abs(block).max(1) > 0
        vectors[start : start + ROWS_AT_ONCE] = _spread((block[there] - mean) @ scaled, there)


def _signed(reader: ShardReader, split: Split, block: Rows, problems: list[str]) -> NDArray[np.void]:
    out = np.zeros(len(block), ROW)
    out["sample_id"], out["label"] = reader.sample_ids(split, block), reader.labels(split, block)
    out["split"], out["row"] = SPLITS.index(split), block
    for number, found in enumerate(in_threads(_image_hashes, decoders(reader, split, block))):
        if isinstance(found, str):
            out["state"][number] = UNREADABLE
            problems += [found] * (len(problems) < MOST_SHOWN)
        else:
            out[["state", "pixels", "hash", "mirrored"]][number] = found
    return out


def _image_hashes(decode: Decode) -> tuple[int, int, int, int] | str:
    """Return state and hashes of an image, or why it does not decode."""
    try:
        pixels = decode()
    except DataError as error:
        return str(error)
    exact = _hash64(repr(pixels.shape).encode() + pixels.tobytes())
    small = _reduced(pixels)
    if np.ptp(np.asarray(small, np.int64)) < FLAT_RANGE:
        return FLAT, exact, 0, 0
    return HASHED, exact, _perceptual(small), _perceptual(ImageOps.mirror(small))


def _reduced(pixels: NDArray[np.uint8]) -> Image.Image:
    """Reduce (height, width, channels) to a small grey image."""
    channels = pixels.shape[2]
    image = Image.fromarray(pixels if channels == 3 else pixels.mean(2).round().astype(np.uint8))
    return image.convert("L").resize((REDUCED, REDUCED), Image.Resampling.LANCZOS)


def _perceptual(image: Image.Image) -> int:
    bits = imagehash.phash(image, hash_size=8, highfreq_factor=REDUCED // 8).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _hash64(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def normalised_captions(reader: ShardReader, split: Split, rows: Rows) -> list[str]:
    """Return the captions of each row as one text, without case, punctuation and the form of accents."""
    return [
        "\n".join(re.sub(r"[\W_]+", " ", folded(t)).strip() for t in texts) for texts in reader.captions(split, rows)
    ]


def caption_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return hashed counts of runs of 3 to 5 letters, (N, ``CAPTION_WIDTH``), of length 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=CAPTION_WIDTH, lowercase=False)
    return vectorizer.transform(texts).toarray().astype(np.float32)  # type: ignore[no-any-return]


def _put(found: Signatures, folder: Path, name: str, part: slice, vectors: NDArray[np.float32]) -> None:
    if name not in found.vectors:
        shape = (len(found), vectors.shape[1])
        found.vectors[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape)
    found.vectors[name][part] = vectors


def _spread(features: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scale features to length 1; rows that have none get zeros."""
    out = np.zeros((len(where), features.shape[1]), np.float32)
    out[where] = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return out
