"""What lies in a folder: images, what is left out and counted, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.folder_files import Listing
from tests.pictures import grey_file


@pytest.mark.parametrize(
    ("name", "counted_as"),
    [
        (".DS_Store", ".DS_Store"),
        ("Thumbs.db", "Thumbs.db"),
        ("desktop.ini", "desktop.ini"),
        ("._1.jpg", "._*"),
        (".hidden.png", ".*"),
        (".ipynb_checkpoints/1.png", ".ipynb_checkpoints"),
        ("__MACOSX/1.png", "__MACOSX"),
        ("@eaDir/1.png", "@eaDir"),
    ],
)
def test_what_systems_leave_is_skipped_and_counted(tmp_path: Path, name: str, counted_as: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(grey_file(1))
    (tmp_path / "1.png").write_bytes(grey_file(1))
    listing = Listing(1000)
    assert [p.name for p in listing.images(tmp_path)] == ["1.png"]
    assert listing.notes == {f"skipped {counted_as}": 1}
    assert listing.problems == []


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".tiff", ".avif", ".jfif", ".ppm", ".JPE", ""])
def test_other_suffixes_are_taken_if_they_are_images(tmp_path: Path, suffix: str) -> None:
    kind = {".tif": "tiff", ".jfif": "jpeg", ".jpe": "jpeg", "": "png"}.get(suffix.lower(), suffix[1:])
    (tmp_path / f"1{suffix}").write_bytes(grey_file(1, kind))
    (tmp_path / f"2{suffix}").write_bytes(b"words")
    listing = Listing(10_000)
    assert [p.name for p in listing.images(tmp_path)] == [f"1{suffix}"]
    assert listing.notes == {f"left out, no image: {suffix.lower() or 'no suffix'}": 1}


def test_a_suffix_of_images_is_believed(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_text("<html>")  # refused when it is decoded, not left out
    assert [p.name for p in Listing(1000).images(tmp_path)] == ["1.jpg"]


def test_files_in_no_class_folder_are_counted(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir()
    for name in ("README.txt", "labels.csv", "3.png", "4.png"):
        (tmp_path / name).write_bytes(grey_file(1))
    listing = Listing(1000)
    assert [p.name for p in listing.folders(tmp_path)] == ["cat", "dog"]
    assert listing.notes == {
        f"left out, in no class folder: {s}": n for s, n in ((".txt", 1), (".csv", 1), (".png", 2))
    }


def test_links_are_followed_and_loops_named(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "1.png").write_bytes(grey_file(1))
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "file.png").symlink_to("real/deep/1.png")
    listing = Listing(1000)
    assert sorted(str(p.relative_to(tmp_path)) for p in listing.images(tmp_path)) == [
        "file.png",
        "linked/deep/1.png",
        "real/deep/1.png",
    ]
    (tmp_path / "real" / "deep" / "up").symlink_to("..")
    listing = Listing(1000)
    assert len(list(listing.images(tmp_path / "real"))) == 1
    assert listing.problems == [f"{tmp_path}/real/deep/up: a link to a folder that it lies in"]


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(grey_file(1) + bytes(2000))
    with (tmp_path / "6 GB.png").open("wb") as file:
        file.truncate(6 * 2**30)
    listing = Listing(5000)
    assert [p.name for p in listing.images(tmp_path)] == ["1.png"]
    assert listing.problems == [f"{tmp_path}/6 GB.png: 6,442,450,944 bytes, the bound is 5,000"]
