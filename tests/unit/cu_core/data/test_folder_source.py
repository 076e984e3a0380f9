"""Which folders are splits and classes; rows that were packed before keep their ids, order and labels."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cu_core.data.folder_source import folder
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import DataError
from tests.pictures import grey_file

DECOMPOSED, COMPOSED = "cafe\u0301", "caf\u00e9"


def write(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(grey_file(number))
    return root


def source(root: Path, **options: object) -> Source:
    return folder(str(root), SourceOptions(**options))  # type: ignore[arg-type]


def rows(found: Source) -> list[tuple[str, str, str]]:
    """Split, class and file of each row."""
    chunks: list[Chunk] = list(found.read())
    return [
        (chunk.split, found.class_names[label], file)
        for chunk in chunks
        if chunk.extra is not None
        for label, file in zip(chunk.labels, chunk.extra["file"].to_pylist(), strict=True)
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("train", "valid", "test"),
        ("Train", "Val", "Test"),
        ("TRAIN", "validation", "test"),
        ("train", "dev", "TEST"),
    ],
)
def test_names_of_splits_are_known_in_any_case(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = source(write(tmp_path, *(f"{name}/cat/{name}.png" for name in names)))
    assert found.counts == {"train": 1, "val": 1, "test": 1}
    expected = [(s, "cat", f"{n}/cat/{n}.png") for s, n in zip(("train", "val", "test"), names, strict=True)]
    assert rows(found) == expected


@pytest.mark.parametrize("other", ["annotations", "testimonials", "extra", "training_2", "cat"])
def test_what_stands_beside_train_is_refused_by_name(tmp_path: Path, other: str) -> None:
    with pytest.raises(DataError, match=f"train names a split, {other} does not"):
        source(write(tmp_path, "train/cat/1.png", f"{other}/cat/1.png"))


@pytest.mark.parametrize("twice", [("val", "valid"), ("Train", "train")])
def test_two_folders_of_one_split_are_refused(tmp_path: Path, twice: tuple[str, str]) -> None:
    write(tmp_path, *(f"{name}/cat/1.png" for name in ("train", *twice)))
    with pytest.raises(DataError, match=f"{twice[0]} and {twice[1]} both name"):
        source(tmp_path)


def test_a_folder_around_the_splits_is_named(tmp_path: Path) -> None:
    write(tmp_path, "archive/train/cat/1.png", "archive/test/cat/1.png")
    with pytest.raises(DataError, match="archive holds split folders; pack folder:.*archive"):
        source(tmp_path)


def test_rows_are_those_of_earlier_packs(tmp_path: Path) -> None:
    names = ["b/2.png", "10/1.png", "9/z/1.jpg", "9/a.PNG", "b-c/1.png"]
    found = source(write(tmp_path, *names))
    assert found.class_names == ("10", "9", "b", "b-c")  # as text, numbers or not
    assert [file for _, _, file in rows(found)] == ["10/1.png", "9/a.PNG", "9/z/1.jpg", "b/2.png", "b-c/1.png"]
    chunk = next(iter(found.read()))
    assert chunk.sample_ids[0] == int.from_bytes(hashlib.sha256(b"10/1.png").digest()[:8], "big") >> 1
    assert chunk.images[0] == grey_file(1)


def test_the_normal_forms_of_a_name_are_one_class(tmp_path: Path) -> None:
    write(
        tmp_path, f"train/{DECOMPOSED}/1.png", f"train/{COMPOSED}/1.png", f"test/{DECOMPOSED}/1.png", "train/tea/1.png"
    )
    found = source(tmp_path)
    assert found.class_names == (COMPOSED, "tea")
    assert sorted(name for _, name, _ in rows(found)) == [COMPOSED] * 3 + ["tea"]
    assert len({int(i) for chunk in found.read() for i in chunk.sample_ids}) == 4
    assert [n for what, n in found.notes.items() if "normal form" in what] == [1]


def test_classes_and_splits_without_images_are_said(tmp_path: Path) -> None:
    write(tmp_path, "train/cat/1.png", "test/dog/1.png")
    for name in ("train/bird", "val"):
        (tmp_path / name).mkdir()
    found = source(tmp_path)
    assert found.class_names == ("bird", "cat", "dog")
    assert found.counts == {"train": 1, "test": 1}
    assert found.notes == {
        "classes without a folder in train (dog)": 1,
        "classes without images (bird)": 1,
        "split folders without images": 1,
    }


def test_files_that_cannot_be_read_are_refused_together_or_left_out(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.png", "cat/2.png")
    (tmp_path / "cat" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / os.fsdecode(b"caf\xe9.png")).write_bytes(grey_file(1))
    with pytest.raises(DataError) as caught:
        source(tmp_path)
    for name in ("3 in all", "gone.png", "pipe.png", r"caf\xe9.png: the name is not UTF-8", "--skip-bad"):
        assert name in str(caught.value)
    found = source(tmp_path, skip_bad=True)
    assert found.counts == {"train": 2}
    assert found.notes == {"left out, not readable": 3}


@pytest.mark.parametrize("name", ["nowhere", "empty", "flat", "texts"])
def test_a_folder_without_classes_of_images_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path, "flat/1.png", "texts/a/1.png")
    (tmp_path / "texts" / "a" / "1.png").rename(tmp_path / "texts" / "a" / "1.txt")
    (tmp_path / "texts" / "a" / "1.txt").write_text("words")
    with pytest.raises(DataError, match="no such folder|must hold class sub-folders"):
        source(tmp_path / name)


def test_large_files_are_not_held_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = source(write(tmp_path, *(f"cat/{i}.png" for i in range(5))))
    monkeypatch.setattr("cu_core.data.folder_source.CHUNK_BYTES", 2 * len(grey_file(0)) - 4)
    assert [len(chunk.labels) for chunk in found.read()] == [2, 2, 1]


def test_a_file_that_is_lost_after_listing_is_named(tmp_path: Path) -> None:
    found = source(write(tmp_path, "cat/1.png", "cat/2.png"))
    (tmp_path / "cat" / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png: No such file"):
        list(found.read())
