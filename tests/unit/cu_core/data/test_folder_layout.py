from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.folder_source import folder
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import DataError
from tests.hostile.table_inputs import png


def packed(root: Path, *names: str) -> Source:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(1) if name.endswith(".png") else b"0 0.5 0.5 1 1")
    return folder(str(root), SourceOptions())


@pytest.mark.parametrize(
    "folders",
    [
        ("train_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Train_images", "Test_images"),
        ("brats_train", "brats_test"),
        ("cats", "dogs", "test_images", "test_data"),
    ],
)
def test_class_folders_that_name_splits_are_refused(tmp_path: Path, folders: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=rf"{min(folders[-2:])}\b.* would be classes, but the names hold a split"):
        packed(tmp_path, *(f"{name}/{kind}/1.png" for name in folders for kind in ("a", "b")))


@pytest.mark.parametrize(
    "names",
    [
        ("cats/training/1.png", "cats/testing/2.png", "dogs/training/1.png"),
        ("brain/training/cats/1.png", "brain/testing/dogs/1.png"),
        ("train/1/train/1.png", "train/2/val/1.png"),
    ],
)
def test_splits_below_the_classes_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="in a class folder names a split. Put the splits above the classes"):
        packed(tmp_path, *names)


def test_classes_below_one_folder_are_not_one_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(cats, dogs\) of the one class imagenet. .* pack folder:.*/imagenet;"):
        packed(tmp_path, "imagenet/cats/1.png", "imagenet/dogs/1.png")


def test_images_beside_labels_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images and labels are no classes"):
        packed(tmp_path, "train/images/1.png", "train/labels/1.txt")


def test_names_that_are_alike_but_for_the_split_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dogs_test, dogs_train would be classes"):
        packed(tmp_path, "dogs_train/1.png", "dogs_test/2.png", "car/3.png")


def test_classes_whose_names_hold_a_split_and_images_in_sub_folders(tmp_path: Path) -> None:
    names = ("bullet_train", "car", "test tube", "train station", "validation_error")
    found = packed(tmp_path, *(f"{name}/{name}.png" for name in names), "car/red/2.png")
    assert found.class_names == names
    assert found.notes == {"images in sub-folders of class folders": 1}
