from __future__ import annotations

from pathlib import PurePath

import pytest

from cu_core.data.split_names import describe_splits, split_in_name, split_of_path


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training_2", "train"),
        ("captions_val2017", "val"),
        ("VALID", "val"),
        ("dev-0", "val"),
        ("evaluation", "test"),
        ("testimonials", None),
        ("latest", None),
        ("", None),
    ],
)
def test_a_split_is_a_whole_word_in_any_case(name: str, split: str | None) -> None:
    assert split_in_name(name) == split


def test_the_name_of_the_file_counts_before_the_nearest_folder() -> None:
    assert split_of_path(PurePath("test/train/0.parquet")) == "train"
    assert split_of_path(PurePath("train/val.parquet")) == "val"
    assert split_of_path(PurePath("train/.x.train")) == "train"
    assert split_of_path(PurePath("a/b.train")) is None, "the suffix is no name"


def test_notes_count_rows_and_say_what_has_no_split() -> None:
    notes = describe_splits([("a", "val", 2), ("b", None, 3), ("c", None, 4)])
    assert notes == {"val: rows of 1 file (a)": 2, "train: rows of 2 files, no split in the name (b, c)": 7}
