from __future__ import annotations

from pathlib import Path

import numpy as np

from cu_core.data.duplicate_table import SCHEMA, find_duplicates
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from tests.copies import changed, drawing, drawings, pack_files
from tests.pictures import grey_file


def planted(tmp_path: Path, captions: list[str] | None = None) -> tuple[ShardReader, dict[int, str]]:
    """30 drawings, then 5 copies of the first in train, and a copy of the second in val and one in test."""
    copies, others = changed(drawing(0)), changed(drawing(1))
    files = {
        "train": [*drawings(30), *copies.values()],
        "val": [*drawings(2, 30), others["near jpeg"]],
        "test": [others["mirrored"]],
    }
    right = {30 + number: kind.partition(" ")[0] for number, kind in enumerate(copies)}
    copy_of = {**dict.fromkeys(right, 0), 37: 1, 38: 1}
    data = pack_files(tmp_path / "data", files, captions, copy_of=copy_of)  # type: ignore[arg-type]
    return data, right | {37: "near", 38: "mirrored"}


def test_every_copy_is_found_by_its_kind_and_nothing_else(tmp_path: Path) -> None:
    data, right = planted(tmp_path)
    found = find_duplicates(data)
    lines = found.table.to_pylist()
    assert {line["sample_id"]: line["kind"] for line in lines} == right
    assert {line["sample_id"]: line["split"] for line in lines if line["sample_id"] > 34} == {37: "val", 38: "test"}
    assert [line["likeness"] for line in lines] == sorted((line["likeness"] for line in lines), reverse=True)
    assert found.table.schema == SCHEMA
    assert found.num_pairs == 39 * 38 // 2
    assert found.limits["near"].false_pairs == 0
    assert found.count("near") == 4


def test_copies_of_some_rows_name_these_rows(tmp_path: Path) -> None:
    data, right = planted(tmp_path)
    found = find_duplicates(data, of=np.array([1, 2]))
    assert {(x["sample_id"], x["copy_of"], x["kind"]) for x in found.table.to_pylist()} == {
        (37, 1, "near"), (38, 1, "mirrored"),
    }  # fmt: skip
    assert found.num_pairs == 2 * 37
    train = find_duplicates(data, of=np.array([0]), splits=("train",))
    assert sorted(train.table["row"].to_pylist()) == [row for row in right if row < 35]
    assert set(train.table["copy_of_row"].to_pylist()) == {0}


def test_equal_content_is_found_by_the_features_of_a_model(tmp_path: Path) -> None:
    data, _ = planted(tmp_path)

    def embed(split: Split, rows: np.ndarray) -> np.ndarray:
        features = np.eye(64)[rows + {"train": 0, "val": 35, "test": 38}[split]]
        features[(rows == 5) & (split == "train")] = np.eye(64)[4] + 0.1 * np.eye(64)[5]
        return features.astype(np.float32)

    lines = find_duplicates(data, embed=embed).table.to_pylist()
    assert [(x["sample_id"], x["copy_of"]) for x in lines if x["kind"] == "content"] == []
    far = find_duplicates(data, embed=embed, rate=0.01)  # one of so few pairs may pass
    content = [(x["sample_id"], x["copy_of"]) for x in far.table.to_pylist() if x["kind"] == "content"]
    assert content == [(5, 4)]


def test_captions_are_told_beside_images(tmp_path: Path) -> None:
    texts = [
        f"{drawn} number {number} of the drawings" for number, drawn in enumerate("abcdefghijklmnopqrstuvwxyz" * 2)
    ]
    words = [f"{7919 * n % 1009} {104729 * n % 9973} {15485863 * n % 99991}" for n in range(39)]
    words[31] = words[0].replace(" ", ", ") + "!"
    data, _ = planted(tmp_path, [f"{texts[n][:1]} {words[n]}" if n not in (0, 31) else words[n] for n in range(39)])
    found = find_duplicates(data, captions=True, rate=0.01)
    lines = [x for x in found.table.to_pylist() if x["kind"] in ("same caption", "near caption")]
    assert [(x["sample_id"], x["copy_of"], x["kind"]) for x in lines if x["likeness"] == 1] == [(31, 0, "same caption")]
    assert {x["kind"] for x in found.table.to_pylist() if x["sample_id"] == 31} == {"near", "same caption"}
    assert set(found.limits) == {"near", "caption"}


def test_captions_that_many_rows_share_find_nothing(tmp_path: Path) -> None:
    data, right = planted(tmp_path, ["a drawing of a class"] * 39)
    found = find_duplicates(data, captions=True)
    assert {line["sample_id"]: line["kind"] for line in found.table.to_pylist()} == right
    assert found.limits["caption"].least is None


def test_images_of_one_colour_are_copies_only_if_their_pixels_are(tmp_path: Path) -> None:
    black, white = grey_file(0), grey_file(255)
    data = pack_files(tmp_path / "data", {"train": [black, white, *drawings(6), black, grey_file(1)]})
    found = find_duplicates(data)
    assert [(x["sample_id"], x["copy_of"], x["kind"]) for x in found.table.to_pylist()] == [(8, 0, "exact")]
    assert found.notes == ("images of hardly any structure, such as one colour, compared by their pixels alone: 4",)


def test_images_that_do_not_decode_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    data = pack_files(tmp_path / "data", {"train": [*drawings(2), *[b"no image"] * 6]})
    (note,) = find_duplicates(data).notes
    assert note.startswith("images that do not decode, not compared: 6 (shard train-00000.arrow, row 2: the image does")
    assert note.count("shard ") == 5
    assert note.endswith("; ...)")


def test_many_black_images_give_a_line_each_and_not_a_line_each_pair(tmp_path: Path) -> None:
    data = pack_files(tmp_path / "data", {"train": [grey_file(0)] * 40 + drawings(2)}, shard_rows=100)
    lines = find_duplicates(data).table.to_pylist()
    assert [(x["sample_id"], x["copy_of"]) for x in lines] == [(number, 0) for number in range(1, 40)]
