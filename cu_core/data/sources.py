"""Where images come from: each source offers rows in chunks, one file's worth at a time."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cu_core.data.images import MAX_PIXELS
from cu_core.data.schema import Split
from cu_core.data.shard_writer import Chunk
from cu_core.errors import DataError

CHUNK_ROWS = 2048
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
PAIRS = ("pair",)
"""The one class of data that has captions and no labels."""
TORCHVISION = ("CIFAR10", "CIFAR100", "SVHN", "FashionMNIST")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Source:
    """Rows to pack: the number of rows of each split, and a function that streams them."""

    name: str
    class_names: tuple[str, ...]
    counts: Mapping[Split, int]
    read: Callable[[], Iterator[Chunk]]
    notes: Mapping[str, int] = field(default_factory=dict)
    """What was left out, or is read in another way than might be expected, and how many."""
    id_column: str | None = None
    """Column of the user's own ids, where ``sample_id`` is a hash of them."""
    label_values: tuple[int, ...] = ()
    """Label in the source of each class, where it is another number."""


@dataclass(frozen=True)
class SourceOptions:
    """Options that only some sources use."""

    download: bool = False
    columns: Mapping[str, str] | None = None
    """Column of each role in a table, e.g. ``{"image": "img"}``."""
    captions: tuple[str, ...] = ()
    """Templates with ``{class}``, and where wanted ``{id}``, that become captions."""
    shard_rows: int | None = None
    """Rows of a shard that is written; absent: 8192."""
    check: bool = True
    """Decode every image before anything is written."""
    skip_bad: bool = False
    """Leave out, and count, files that cannot be read; else they are refused."""
    max_pixels: int = MAX_PIXELS
    """Largest number of pixels of an image."""
    decode_size: int | None = None
    """Store image files as images of this side."""
    image_root: str | None = None
    """Folder that paths of images in a table are relative to, and must not leave; absent: the table's own."""
    max_file_mb: int = 512
    """Size in MiB of the largest image, tar member, table of text or JSON file that is read into memory."""
    skip_empty_captions: bool = False
    """Whether rows of image-text data without a caption are left out instead of refused."""
    languages: tuple[str, ...] = ()
    """Sources with captions in several languages: that of the captions, then those of further columns; absent: en."""
    test_where: str | None = None
    """Expression over the columns: training rows for which it holds become the test split."""


def _arrays(split: Split, images: NDArray[np.uint8], labels: NDArray[np.int64], first_id: int) -> Iterator[Chunk]:
    for start in range(0, len(labels), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        ids = np.arange(first_id + start, first_id + start + len(labels[part]), dtype=np.int64)
        yield Chunk(split, images[part], labels[part].astype(np.int64), ids)


def _from_arrays(
    name: str, classes: tuple[str, ...], parts: Mapping[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]]
) -> Source:
    def read() -> Iterator[Chunk]:
        first_id = 0
        for split, (images, labels) in parts.items():
            yield from _arrays(split, images, labels, first_id)
            first_id += len(labels)

    return Source(name, classes, {split: len(labels) for split, (_, labels) in parts.items()}, read)


def digits(argument: str, options: SourceOptions) -> Source:
    """Handwritten digits, 8x8, shipped with scikit-learn (Alpaydin and Kaynak 1998)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images[:, None] * (255 / 16)).round().astype(np.uint8)
    return _from_arrays("digits", tuple(str(c) for c in range(10)), {"train": (images, bunch.target)})


def _idx(folder: Path, stem: str) -> NDArray[np.uint8]:
    """Read one idx file, gzipped or not (LeCun's format: type and rank in the magic number, then sizes)."""
    found = [p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()]
    if not found:
        raise DataError(
            f"no {stem}[.gz] in {folder}; Debian's package dataset-fashion-mnist puts the files under "
            f"/usr/share/datasets/fashion-mnist."
        )
    try:
        raw = gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{found[0]} is damaged: {error}") from error
    rank = raw[3] if len(raw) > 4 and raw[:3] == b"\0\0\x08" else 0
    shape = struct.unpack_from(f">{rank}I", raw, 4) if len(raw) >= 4 + 4 * rank else ()
    if not shape or len(raw) != 4 + 4 * rank + math.prod(shape):
        raise DataError(f"{found[0]} is not a whole idx file of bytes.")
    return np.frombuffer(raw[4 + 4 * rank :], np.uint8).reshape(shape)


def fashion_mnist(argument: str, options: SourceOptions) -> Source:
    """Fashion-MNIST idx files (Xiao et al. 2017), gzipped or not."""
    folder = Path(argument)
    parts: dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        images, labels = _idx(folder, f"{stem}-images-idx3-ubyte"), _idx(folder, f"{stem}-labels-idx1-ubyte")
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise DataError(
                f"the {stem} files in {folder} must have images (N, H, W) and one label for each image, have "
                f"{images.shape} and {labels.shape}."
            )
        parts["train" if split == "train" else "test"] = (images[:, None], labels.astype(np.int64))
    return _from_arrays("fashion-mnist", FASHION_CLASSES, parts)


def torchvision_set(argument: str, options: SourceOptions) -> Source:
    """``NAME:DIR`` with one of torchvision's data sets."""
    import torchvision.datasets as sets

    name, _, folder = argument.partition(":")
    if name not in TORCHVISION or not folder:
        raise DataError(
            f"torchvision:{argument} must be torchvision:NAME:DIR with NAME one of {', '.join(TORCHVISION)}."
        )
    parts: dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}
    for split in ("train", "test"):
        which = {"split": split} if name == "SVHN" else {"train": split == "train"}
        try:
            loaded = getattr(sets, name)(folder, download=options.download, **which)
        except RuntimeError as error:
            raise DataError(f"{name} is not in {folder}; add --download where there is a network.") from error
        except OSError as error:
            raise DataError(f"{name} could not be fetched or read: {error}") from error
        images = np.asarray(loaded.data)
        if name.startswith("CIFAR"):
            images = images.transpose(0, 3, 1, 2)
        labels = np.asarray(loaded.labels if name == "SVHN" else loaded.targets, dtype=np.int64)
        parts["train" if split == "train" else "test"] = (
            images[:, None] if images.ndim == 3 else images,
            labels,
        )
    classes = tuple(getattr(loaded, "classes", [str(c) for c in range(10)]))
    return _from_arrays(name.lower(), classes, parts)
