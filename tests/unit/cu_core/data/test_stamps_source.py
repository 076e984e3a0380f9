from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.data.stamps_source import read_captions
from cu_core.errors import DataError
from tests.unit.cu_core.data.drawn_emoji import SVG, picture, written


def stamps(root: Path) -> Path:
    for number, name in enumerate(("dog", "cat", "rose")):
        place = root / ("plants/flowers" if name == "rose" else "animals") / name
        written(place.with_suffix(".png"), picture((number, 0, 0)))
        written(place.with_suffix(".txt"), f"A {name}.\nde.utf8=Ein {name}.\npt_BR.utf8=Um {name}.\nfr.utf8= \n")
    written(root / "animals" / "cat.svg", SVG)
    written(root / "animals" / "fox.svg", SVG)
    written(root / "animals" / "fox.txt", "\ufeffA fox.")
    written(root / "animals" / "nameless.png", picture((9, 9, 9)))
    written(root / "animals" / ".hidden.png", b"?")
    return root


def packed(root: Path, out: Path, languages: tuple[str, ...] = (), skip_bad: bool = False) -> ShardReader:
    options = SourceOptions(languages=languages, skip_bad=skip_bad)
    pack(f"stamps:{root}", out, SplitPlan(0, 0), options, lambda done, total: None)
    return ShardReader(out, 8)


def rows_of(reader: ShardReader, name: str) -> list[Any]:
    """A column in the order of the files."""
    (shard,) = reader.manifest.split_shards("train")
    rows = [row for batch in reader.batches(shard) for row in batch.drop_columns(["image"]).to_pylist()]
    return [row[name] for row in sorted(rows, key=lambda row: row["file"])]


def test_a_row_is_a_picture_with_a_text_of_its_name(tmp_path: Path) -> None:
    reader = packed(stamps(tmp_path / "in"), tmp_path / "out", ("en", "pt-br"))
    assert rows_of(reader, "file") == [
        "animals/cat.png",
        "animals/dog.png",
        "animals/fox.svg",
        "plants/flowers/rose.png",
    ]
    assert rows_of(reader, "caption")[0] == ["A cat."]
    assert rows_of(reader, "caption_pt-br") == [["Um cat."], ["Um dog."], [], ["Um rose."]]
    assert rows_of(reader, "style") == ["png", "png", "svg", "png"]
    assert rows_of(reader, "group")[3] == "plants/flowers"
    assert reader.manifest.class_names == ("A cat", "A dog", "A fox", "A rose")
    notes = reader.manifest.notes
    assert notes["left out, the same stamp in another format"] == 1
    assert notes["left out, no text file of the picture's name"] == 1
    assert notes["without a caption in pt-br"] == 1


def test_rows_without_the_first_language_are_left_out_and_a_language_that_none_has_is_refused(tmp_path: Path) -> None:
    reader = packed(stamps(tmp_path / "in"), tmp_path / "out", ("de",))
    assert reader.manifest.notes["left out, without a caption in de"] == 1
    assert reader.num_rows("train") == 3
    with pytest.raises(DataError, match="no captions in fr; it has 'de', 'en', 'pt-br'"):
        packed(tmp_path / "in", tmp_path / "other", ("fr",))


@pytest.mark.parametrize(("text", "message"), [(b"\xff", "not UTF-8"), (b"\n", "no caption"), (b"a" * 2**21, "bytes")])
def test_texts_that_cannot_be_read_are_named_or_left_out(text: bytes, message: str, tmp_path: Path) -> None:
    root = stamps(tmp_path / "in")
    written(root / "animals" / "dog.txt", text)
    with pytest.raises(DataError, match=rf"dog\.txt.*{message}"):
        packed(root, tmp_path / "out")
    assert packed(root, tmp_path / "out", skip_bad=True).manifest.notes["left out, text not readable"] == 1


def test_the_first_of_two_lines_of_a_language_counts(tmp_path: Path) -> None:
    assert read_captions(written(tmp_path / "a.txt", "A\nde.utf8=eins\nde.utf8=zwei\nno mark")) == {
        "en": "A",
        "de": "eins",
    }


@pytest.mark.parametrize("empty", [True, False])
def test_no_stamps(empty: bool, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no stamp" if empty else "no such folder"):
        packed(tmp_path / ("empty" if empty else "nowhere"), tmp_path / "out")
