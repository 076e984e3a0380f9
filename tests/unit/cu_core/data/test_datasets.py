from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cu_core import UserError, open_data, select
from cu_core.data.datasets import dataset_source


class Listed:
    """Rows of a list."""

    def __init__(self, rows: list[Any]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def grey(value: int, side: int = 4) -> np.ndarray:
    return np.full((1, side, side), value, np.uint8)


def read(rows: list[Any], classes: int = 2) -> list[Any]:
    return list(dataset_source("x", {"train": Listed(rows)}, [str(c) for c in range(classes)]).read())


def test_rows_keep_their_index_as_id_and_their_pixels(tmp_path: Path) -> None:
    rows = [(grey(i), i % 2) for i in range(40)]
    data = open_data(Listed(rows), tmp_path / "packed", class_names=["even", "odd"])
    ids = data.sample_ids("train", np.arange(data.num_rows("train")))
    images = data.images("train", np.arange(data.num_rows("train")))
    assert [int(image[0, 0, 0]) for image in images] == ids.tolist()
    assert (data.num_rows("val"), data.num_rows("test")) == (4, 8)
    forget = select(data, classes=["odd"])
    assert set(forget.sample_ids % 2) == {1}
    assert open_data(tmp_path / "packed").manifest.digest == data.manifest.digest


def test_pictures_of_pillow_have_their_channels_first() -> None:
    picture = Image.new("RGB", (3, 2), (1, 2, 3))
    (chunk,) = read([(picture, 0)])
    assert chunk.images.shape == (1, 3, 2, 3)
    assert chunk.images[0, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((np.zeros((1, 4, 4), np.float32), 0), "row 1: the image must be a PIL image, or uint8"),
        ((grey(0), 5), "row 1: label 5 is none of the 2 classes"),
        ((grey(0), "cat"), "row 1: must be a pair"),
        (grey(0), "row 1: must be a pair"),
        ((grey(0, 5), 0), r"row 1: an image of \(1, 5, 5\)"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(row: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read([(grey(0), 0), row])


def test_channels_that_stand_last_are_told() -> None:
    with pytest.raises(UserError, match=r"row 0: .* got \(8, 8, 3\), which looks like \(height, width, channels\)"):
        read([(np.zeros((8, 8, 3), np.uint8), 0)])


def test_a_folder_of_another_data_set_is_not_opened(tmp_path: Path) -> None:
    open_data(Listed([(grey(i), 0) for i in range(40)]), tmp_path / "packed", class_names=["a"])
    with pytest.raises(UserError, match="holds 40 rows of another data set"):
        open_data(Listed([(grey(i), 0) for i in range(30)]), tmp_path / "packed", class_names=["a"])


def test_classes_are_numbered_by_targets_where_there_are_no_names(tmp_path: Path) -> None:
    rows = Listed([(grey(i), i % 3) for i in range(60)])
    rows.classes, rows.targets = [], [i % 3 for i in range(60)]  # type: ignore[attr-defined]
    assert open_data(rows, tmp_path / "packed").manifest.class_names == ("0", "1", "2")


def test_a_data_set_needs_a_folder_and_names() -> None:
    with pytest.raises(UserError, match="name the folder"):
        open_data(Listed([]))
    with pytest.raises(UserError, match="give class_names"):
        open_data(Listed([]), "x")
