"""Sources that are arrays: digits, idx files, and data sets of torchvision."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torchvision.datasets

from cu_core.data import sources
from cu_core.data.sources import SourceOptions, digits, fashion_mnist, torchvision_set
from cu_core.errors import DataError

OPTIONS = SourceOptions()


def test_digits_are_scaled_to_bytes_and_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    monkeypatch.setattr(sources, "CHUNK_ROWS", 1000)
    source = digits("", OPTIONS)
    first, second = source.read()
    assert source.counts == {"train": 1797}
    assert [len(first.labels), len(second.labels)] == [1000, 797]
    ids = np.concatenate([first.sample_ids, second.sample_ids])
    np.testing.assert_array_equal(ids, np.arange(1797))
    labels = np.concatenate([first.labels, second.labels])
    np.testing.assert_array_equal(labels, bunch.target)
    assert isinstance(second.images, np.ndarray)
    np.testing.assert_array_equal((second.images[:, 0] / 255 * 16).round(), bunch.images[1000:])
    assert second.images.max() == 255


def idx(values: np.ndarray[Any, Any]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}i", *values.shape) + values.tobytes()


def write_idx(folder: Path, train: int = 3, test: int = 2) -> Path:
    """Images of 2 x 3 pixels; the train files plain and the test files gzipped."""
    for stem, count, end, pack in (("train", train, "", bytes), ("t10k", test, ".gz", gzip.compress)):
        images = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
        labels = np.arange(count, dtype=np.uint8)[::-1]
        (folder / f"{stem}-images-idx3-ubyte{end}").write_bytes(pack(idx(images)))
        (folder / f"{stem}-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return folder


def test_idx_files_plain_or_gzipped(tmp_path: Path) -> None:
    source = fashion_mnist(str(write_idx(tmp_path)), OPTIONS)
    assert source.counts == {"train": 3, "test": 2}
    train, test = source.read()
    assert (train.split, test.split) == ("train", "test")
    assert (train.labels.tolist(), test.labels.tolist()) == ([2, 1, 0], [1, 0])
    assert (train.sample_ids.tolist(), test.sample_ids.tolist()) == ([0, 1, 2], [3, 4])
    np.testing.assert_array_equal(train.images, np.arange(18).reshape(3, 1, 2, 3))
    assert source.class_names[7] == "Sneaker"


def cut(count: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:-count]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        cut(1),
        lambda raw: raw + b"x",
        lambda raw: raw[:9],  # inside the sizes
        lambda raw: b"\0\0\x0d" + raw[3:],  # floats
        lambda raw: raw[:3] + b"\0" + raw[4:],  # no axis
        lambda raw: raw[:4] + struct.pack(">3i", -3, -2, 3) + raw[16:],
    ],
    ids=["empty", "short", "long", "sizes", "floats", "rank 0", "negative"],
)
def test_a_file_that_is_not_whole_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = write_idx(tmp_path) / "train-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=f"^{file} is not a whole idx file of bytes"):
        fashion_mnist(str(tmp_path), OPTIONS)


def flipped(raw: bytes) -> bytes:
    """Break the compressed stream behind the header of ten bytes."""
    return raw[:10] + bytes(255 - b for b in raw[10:-8]) + raw[-8:]


@pytest.mark.parametrize("damage", [cut(4), flipped, lambda raw: b"no gzip"], ids=["short", "stream", "header"])
def test_a_gzip_file_that_is_damaged_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = write_idx(tmp_path) / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=f"^{file} is damaged: "):
        fashion_mnist(str(tmp_path), OPTIONS)


def test_a_file_that_is_not_there_is_named_without_its_ending(tmp_path: Path) -> None:
    (write_idx(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"^no t10k-labels-idx1-ubyte\[\.gz\] in"):
        fashion_mnist(str(tmp_path), OPTIONS)


@pytest.mark.parametrize(
    "labels", [np.zeros(2, np.uint8), np.zeros(4, np.uint8), np.zeros((3, 1), np.uint8)], ids=["fewer", "more", "table"]
)
def test_every_image_needs_one_label(labels: np.ndarray[Any, Any], tmp_path: Path) -> None:
    (write_idx(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(DataError, match="train.*one label for each image"):
        fashion_mnist(str(tmp_path), OPTIONS)


class Fake:
    """A data set of torchvision that is already here; ``asked`` is what it was opened with."""

    classes = ("cat", "dog")
    asked: list[Any] = []
    shape: tuple[int, ...] = (2, 4, 3)

    def __init__(self, folder: str, download: bool, **which: Any):
        self.asked.append((folder, download, which))
        self.data = np.arange(2 * int(np.prod(self.shape)), dtype=np.uint8).reshape(2, *self.shape)
        self.targets = self.labels = [1, 0]


@pytest.mark.parametrize(
    ("name", "shape", "axes", "which"),
    [
        ("CIFAR10", (2, 4, 3), (2, 0, 1), [{"train": True}, {"train": False}]),
        ("SVHN", (3, 2, 4), (0, 1, 2), [{"split": "train"}, {"split": "test"}]),
        ("FashionMNIST", (2, 4), None, [{"train": True}, {"train": False}]),
    ],
)
def test_channels_come_first(
    name: str,
    shape: tuple[int, ...],
    axes: tuple[int, ...] | None,
    which: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torchvision.datasets, name, type(name, (Fake,), {"shape": shape, "asked": asked}))
    source = torchvision_set(f"{name}:some/where:x", SourceOptions(download=True))
    assert asked == [("some/where:x", True, part) for part in which]
    assert source.counts == {"train": 2, "test": 2}
    assert (source.name, source.class_names) == (name.lower(), ("cat", "dog"))
    train, test = source.read()
    data = np.arange(2 * int(np.prod(shape)), dtype=np.uint8).reshape(2, *shape)
    wanted = [image[None] if axes is None else image.transpose(axes) for image in data]
    np.testing.assert_array_equal(train.images, wanted)
    assert (test.labels.tolist(), test.sample_ids.tolist()) == ([1, 0], [2, 3])


@pytest.mark.parametrize("argument", ["CIFAR11:x", "CIFAR10", "CIFAR10:", ":x", ""])
def test_a_set_needs_a_known_name_and_a_folder(argument: str) -> None:
    with pytest.raises(DataError, match=r"must be torchvision:NAME:DIR with NAME one of CIFAR10, "):
        torchvision_set(argument, OPTIONS)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("not found"), "CIFAR10 is not in x; add --download where there is a network"),
        (OSError("no route"), "CIFAR10 could not be fetched or read: no route"),
    ],
)
def test_a_set_that_is_not_there(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **more: Any) -> SimpleNamespace:
        raise error

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fails)
    with pytest.raises(DataError, match=message):
        torchvision_set("CIFAR10:x", OPTIONS)
