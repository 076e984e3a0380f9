from __future__ import annotations

import re
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from cu_core.data.shard_reader import ShardReader
from pipelines.requests.intake import add_request
from tests.copies import changed, drawing, drawings, pack_files
from tests.unit.pipelines.commands import Cu
from tests.unit.pipelines.requests.answered import answer_all, opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rows 0 to 19 are drawings, 20 to 24 copies of row 0."""
    files = {"train": [*drawings(20), *changed(drawing(0)).values()], "val": drawings(2, 30), "test": drawings(2, 32)}
    return pack_files(tmp_path / "data", files, copy_of=dict.fromkeys(range(20, 25), 0)).folder  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_copies_are_written_as_a_table_and_a_page(cu: Cu, data: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"copies{suffix}"
    ran = cu("data", "duplicates", data, "--out", out)
    assert ran.status == 0
    read = pyarrow.parquet.read_table if suffix == ".parquet" else pyarrow.csv.read_csv
    assert sorted(read(out)["sample_id"].to_pylist()) == [20, 21, 22, 23, 24]
    assert "Near: 3" in (tmp_path / "copies.html").read_text()
    assert "copies: exact 1, near 3, mirrored 1; 406 pairs compared" in ran.err
    assert "near: likeness at least 0.8" in ran.err
    assert out.stat().st_mode & 0o77 == 0  # it names rows of persons


def test_only_copies_of_a_request_are_looked_for(cu: Cu, data: Path, tmp_path: Path) -> None:
    (tmp_path / "request.yaml").write_text(
        "request: {kind: by_predicate, where: 'sample_id in [3, 22]', duplicates: include}\n"
    )
    (tmp_path / "ids.txt").write_text("3\n22\n")
    for number, of in enumerate(("request.yaml", "ids.txt")):
        ran = cu("data", "duplicates", data, "--of", tmp_path / of, "--out", tmp_path / f"{number}.parquet")
        assert ran.status == 0
        table = pyarrow.parquet.read_table(tmp_path / f"{number}.parquet")
        assert set(zip(table["sample_id"].to_pylist(), table["copy_of"].to_pylist(), strict=True)) == {
            (0, 22), (20, 22), (21, 22), (23, 22), (24, 22),
        }  # fmt: skip


@pytest.mark.parametrize(("words", "message"), [
    (["--out", "copies.txt"], "--out copies.txt must end in .parquet or .csv."),
    (["--rate", 0], "rate must lie above 0 and be at most 0.01, got 0."),
    (["--rate", "nan"], "rate must lie above 0 and be at most 0.01, got nan."),
    (["--model", "nowhere"], "is no saved model; name the folder that `cu train CONFIG` prints."),
    (["--column", "sample_id"], "--column belongs to --of."),
    (["--captions"], "has no column caption"),
    (["--of", "nowhere.txt"], "request.path: no file"),
    (["--of", "nowhere.yaml"], "nowhere.yaml"),
])  # fmt: skip
def test_careless_words_give_one_line(cu: Cu, data: Path, words: list[object], message: str, tmp_path: Path) -> None:
    out = [] if "--out" in words else ["--out", tmp_path / "copies.csv"]
    ran = cu("data", "duplicates", data, *words, *out)
    assert ran.status == 2
    assert message in ran.err
    assert not (tmp_path / "copies.csv").exists()


def test_a_request_to_a_model_may_be_named(cu: Cu, tmp_path: Path, digits: Path, data: Path) -> None:
    places = opened(tmp_path / "model", digits)
    add_request(places, {"kind": "by_predicate", "where": "sample_id < 10"})
    words = ["--of", "faces-1", "--storage", places.store, "--out", tmp_path / "copies.parquet"]
    ran = cu("data", "duplicates", tmp_path / "model" / "data", *words)
    assert ran.status == 0
    assert "of faces-1" in (tmp_path / "copies.html").read_text()
    ran = cu("data", "duplicates", data, *words[:-1], tmp_path / "other.parquet")
    assert ran.status == 2
    assert "--of faces-1: it is about" in ran.err
    assert cu("data", "duplicates", data, "--of", "faces-7", "--storage", places.store).status == 2


def test_a_table_is_not_overwritten(cu: Cu, data: Path, tmp_path: Path) -> None:
    (tmp_path / "copies.html").write_text("mine")
    ran = cu("data", "duplicates", data, "--out", tmp_path / "copies.csv")
    assert ran.status == 2
    assert re.search(r"--out: \S+/copies.html exists; name another file or delete it.", ran.err)


def test_rows_are_dropped_by_id_by_expression_and_into_a_new_folder(cu: Cu, data: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("3\n27\n77\n")
    ran = cu("data", "drop", data, "--ids", tmp_path / "ids.txt")
    assert ran.status == 0
    assert "1 of 3 ids are in no split: 77" in ran.err
    assert re.search(r"data: dropped 2 rows \(train 1, test 1\) of 2 shards; digest \w{16}, parent \w{16}", ran.err)
    assert re.search(r"dropped rows: train 1, test 1; digest before: \w{16}", cu("data", "inspect", data).err)
    ran = cu("data", "drop", data, "--where", "sample_id >= 20 and sample_id < 25", "--out", tmp_path / "new")
    assert ran.status == 0
    assert [ShardReader(tmp_path / "new").num_rows(split) for split in ("train", "val", "test")] == [19, 2, 1]
    assert [ShardReader(data).num_rows(split) for split in ("train", "val", "test")] == [24, 2, 1]


@pytest.mark.parametrize(("words", "message"), [
    ([], "give exactly one of --ids, --where and --request."),
    (["--ids", "a", "--where", "b"], "give exactly one of --ids, --where and --request."),
    (["--where", "label == 0", "--column", "label"], "--column belongs to --ids."),
    (["--where", "sample_id < 25"], "all 25 training rows would be dropped"),
    (["--where", "sample_id == 99"], "no row of"),
    (["--where", "__import__('os')"], "is not"),
    (["--ids", "nowhere"], "no file"),
    (["--request", "faces-1", "--where", "label == 0"], "give exactly one of --ids, --where and --request."),
    (["--request", "faces-1", "--column", "label"], "--column belongs to --ids."),
    (["--where", "label == 0", "--storage", "out"], "--storage belongs to --request."),
    (["--request", "faces", "--storage", "out"], "a request is called MODEL-NUMBER"),
    (["--request", "faces-1", "--storage", "out"], "no model 'faces' in"),
])  # fmt: skip
def test_careless_drops_give_one_line_and_change_nothing(cu: Cu, data: Path, words: list[str], message: str) -> None:
    before = {path.name: path.read_bytes() for path in data.glob("*.*") if path.is_file()}
    ran = cu("data", "drop", data, *words)
    assert ran.status == 2
    assert message in ran.err
    assert {path.name: path.read_bytes() for path in data.glob("*.*") if path.is_file()}.items() >= before.items()


def test_the_rows_of_a_request_are_dropped_once(cu: Cu, tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places)
    words = ["data", "drop", tmp_path / "data", "--request", "faces-1", "--storage", places.store]
    aside = cu(*words, "--out", tmp_path / "new")
    assert "is as it was, and the ledger too" in aside.err
    done = cu(*words)
    assert done.status == 0
    assert "recorded in entry 5; later requests go on with these data" in done.err
    again = cu(*words)
    assert (again.status, again.err.count("\n")) == (2, 1)
    assert "nothing is left to drop: 113 training rows of faces-1 were dropped on purpose in entry 5" in again.err
    assert "for faces-1" in cu("data", "inspect", tmp_path / "data").err
