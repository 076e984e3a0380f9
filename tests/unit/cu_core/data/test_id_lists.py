from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.data import id_lists
from cu_core.data.id_lists import as_stored, read_ids, repeated
from cu_core.errors import UserError

COLUMNS = ("sample_id", "id")
DEEP = '{"a": ' * 100_000 + "1" + "}" * 100_000


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1\n2\n", [1, 2]),
        ("1\r\n2\r\n\r\n", [1, 2]),
        ("\ufeff1\n2", [1, 2]),
        ("sample_id\n1\n2", [1, 2]),
        ("ID\n1\n2", [1, 2]),
        ("1,2,3", [1, 2, 3]),
        ("1, 2, 3,\n", [1, 2, 3]),
        ("1 2\n3", [1, 2, 3]),
        ("#late\n1\n2", [1, 2]),
        ("100,200", [100, 200]),
        ("[\n 1,\n 2\n]", [1, 2]),
        ("[1, 2]", [1, 2]),
        ("# of May\n1\n # late\n2", [1, 2]),
        ("1;2\n3", [1, 2, 3]),
        ("1\t2", [1, 2]),
        ("user;sample_id\nx;1\ny;2", [1, 2]),
        ("user\tsample_id\nx\t1", [1]),
        ('"sample_id","note"\n"1","a, b"\n"2","c"', [1, 2]),
        ("sample_id,note\n1,\n\n2,x", [1, 2]),
        ("007\n-5", [7, -5]),
        ('{"sample_id": 3}\n\n{"sample_id": "4", "x": [1]}\n', [3, 4]),
        ('"1"\n"2"', [1, 2]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_list_of_numbers_is_read_in_every_form(text: str, numbers: list[int], encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "ids.CSV"
    path.write_bytes(text.encode(encoding))
    assert as_stored(read_ids(path, COLUMNS, []), pa.int64(), "ids").to_pylist() == numbers


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("cat_7\ndog-8", ["cat_7", "dog-8"]),
        ("007\n7\n1_0\n1.0", ["007", "7", "1_0", "1.0"]),
        ('sample_id\n"a b"\nNULL\nNA', ["a b", "NULL", "NA"]),
        ('"a b"\n"c d"', ["a b", "c d"]),
        ("8f14e45f-ceea-467f-a8a5-1c8a1d0c0000", ["8f14e45f-ceea-467f-a8a5-1c8a1d0c0000"]),
        ('{"sample_id": 7}\n{"sample_id": "x"}', ["7", "x"]),
        ("a b\nc", ["a b", "c"]),
        ("cats/cat (1).jpg\ncats/cat (2).jpg\n", ["cats/cat (1).jpg", "cats/cat (2).jpg"]),
        ("cats/cat (1).jpg", ["cats/cat (1).jpg"]),
        ("cat_7, dog 8", ["cat_7", "dog 8"]),
        ('"a, b", c', ["a, b", "c"]),
        ('"a, b"\n"d"', ["a, b", "d"]),
        ("id,why\n#1,mail\nid3,mail", ["#1", "id3"]),
        ("# of May\n#1\n#\nid3", ["#1", "id3"]),
        ("#1\n#2", ["#1", "#2"]),
        ('[\n  "a b",\n  "c"\n]\n', ["a b", "c"]),
        ("[a, b]", ["a", "b"]),
    ],
)
def test_a_list_of_texts_is_compared_as_it_stands(text: str, ids: list[str], tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(text)
    assert as_stored(read_ids(tmp_path / "ids", COLUMNS, []), pa.string(), "ids").to_pylist() == ids


@pytest.mark.parametrize(
    ("column", "ids"),
    [
        (pa.array([1, 2], pa.uint8()), [1, 2]),
        (pa.array([1, 2], pa.uint64()), [1, 2]),
        (pa.array(["1", "2"], pa.large_string()), [1, 2]),
        (pa.array(["1", "2"]).dictionary_encode(), [1, 2]),
    ],
)
def test_parquet_is_known_by_its_content(column: pa.Array, ids: list[int], tmp_path: Path) -> None:
    pq.write_table(pa.table({"other": ["a", "b"], "sample_id": column}), tmp_path / "ids.txt")
    assert as_stored(read_ids(tmp_path / "ids.txt", COLUMNS, []), pa.int64(), "ids").to_pylist() == ids


def test_uuids_of_parquet_are_texts(tmp_path: Path) -> None:
    one = uuid.UUID(int=7)
    pq.write_table(pa.table({"sample_id": pa.array([one.bytes], pa.uuid())}), tmp_path / "ids.parquet")
    assert read_ids(tmp_path / "ids.parquet", COLUMNS, []).to_pylist() == [str(one)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no id"),
        ("# none\n\n", "holds no id"),
        ("sample_id\n", "holds no id, only the header"),
        ("5\n1,000", "1,000 may be one number or several ids; write numbers without commas"),
        ("#\n# x", "holds no id"),
        ("1,,3", "1 cells are empty where an id must stand"),
        ("sample_id,b\n1,2\n,3", "1 cells are empty"),
        ("user,name\n1,bob\n2,al", "has no column sample_id or id; columns there: 'user', 'name'"),
        ("user,name\nx,bob", "Name the column of the ids with request.column"),
        ("sample_id,sample_id\n1,2", "has no column sample_id"),
        ("sample_id\n1,2", "Expected 1 columns, got 2"),
        ("a\0b", "zero byte"),
        ('{"sample_id": 1', "line 1: no JSON record"),
        ('{"sample_id": 1}\n{"id": 2.5}', "line 2: an id must be a text or a whole number, got 2.5"),
        ('{"sample_id": null}', "line 1: an id must be"),
        ('{"sample_id": true}', "line 1: an id must be"),
        ('{"x": 1}', "has no column sample_id or id; columns there: 'x'"),
        ('{"sample_id": ' + "9" * 5000 + "}", "line 1: no JSON record"),
        (DEEP, "line 1: no JSON record"),
        ("{" * 100_000, "line 1: no JSON record"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_list_of_ids_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_ids(tmp_path / "ids", COLUMNS, [])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("word", ["1_0", "1.0", "1e5", "+7", "\u0663", "seven", "9" * 30, "0x10", "'5'"])
def test_what_is_no_number_is_none_of_data_with_numbers(word: str) -> None:
    ids = pa.chunked_array([["1", word]])
    with pytest.raises(UserError, match="ids of this data are whole numbers of 64 bits, 1 of 2 in the list are none"):
        as_stored(ids, pa.int64(), "ids")


def test_numbers_beyond_64_bits_are_refused() -> None:
    for ids in (pa.chunked_array([["9223372036854775808"]]), pa.chunked_array([pa.array([2**63], pa.uint64())])):
        with pytest.raises(UserError, match="64 bits"):
            as_stored(ids, pa.int64(), "ids")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1.0, 2.0]), "must be texts or whole numbers, the column holds double"),
        (pa.array([[1], [2]]), "must be texts or whole numbers"),
        (pa.array([1, None]), "1 ids are absent, the first in row 1"),
    ],
)
def test_parquet_of_other_types_is_refused(column: pa.Array, message: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"sample_id": column}), tmp_path / "ids.parquet")
    with pytest.raises(UserError, match=message):
        read_ids(tmp_path / "ids.parquet", COLUMNS, [])


@pytest.mark.parametrize("damaged", [b"PAR1", b"PAR1" + b"x" * 50 + b"PAR1"])
def test_damaged_parquet_and_files_that_are_too_large_are_refused(
    damaged: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ids").write_bytes(damaged)
    with pytest.raises(UserError, match="cannot be read"):
        read_ids(tmp_path / "ids", COLUMNS, [])
    monkeypatch.setattr(id_lists, "LARGEST_BYTES", 3)
    with pytest.raises(UserError, match="a list of ids has at most 3"):
        read_ids(tmp_path / "ids", COLUMNS, [])


def test_ids_that_stand_there_again_are_counted() -> None:
    assert [repeated(pa.chunked_array([ids])) for ids in ([1, 2], [1, 1, 2, 1])] == [0, 2]


def test_a_folder_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; name the file of the list"):
        read_ids(tmp_path, COLUMNS, [])


def test_comments_are_counted(tmp_path: Path) -> None:
    for text, count in (("# a\n#b\n1\n", 2), ("# a\nsample_id\n#b\n1", 1), ("# a\n#b\nc", 1)):
        notes = list[str]()
        (tmp_path / "ids").write_text(text)
        read_ids(tmp_path / "ids", COLUMNS, notes)
        assert notes == [f"{count} lines of ids begin with # and are comments"]
