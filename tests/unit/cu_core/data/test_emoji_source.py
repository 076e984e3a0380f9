from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError
from tests.unit.cu_core.data.drawn_emoji import emoji_packages, written

PLAN = SplitPlan(val_frac=0, test_frac=0)
EMOJI = "emoji-datasource-google/emoji.json"
GERMAN = "cldr-annotations-full/annotations/de/annotations.json"


def packed(root: Path, out: Path, **options: Any) -> ShardReader:
    pack(f"emoji:{root}", out, PLAN, SourceOptions(**options), lambda done, total: None)
    return ShardReader(out, 8)


def rows_of(reader: ShardReader, name: str) -> list[Any]:
    """A column in the order of the emoji, then of google, twitter and openmoji."""
    (shard,) = reader.manifest.split_shards("train")
    rows = [row for batch in reader.batches(shard) for row in batch.drop_columns(["image"]).to_pylist()]
    order = ["dog face", "cat face", "red heart", "google", "twitter", "openmoji"]
    return [row[name] for row in sorted(rows, key=lambda r: (order.index(r["concept"]), order.index(r["style"])))]


def test_a_row_is_a_concept_in_a_style_with_its_name_first_and_other_languages_beside(tmp_path: Path) -> None:
    reader = packed(emoji_packages(tmp_path / "in"), tmp_path / "out", languages=("en", "de"))
    assert reader.manifest.class_names == ("cat face", "dog face", "red heart")
    assert rows_of(reader, "style") == ["google", "twitter", "openmoji"] * 3
    assert rows_of(reader, "concept") == ["dog face"] * 3 + ["cat face"] * 3 + ["red heart"] * 3
    assert rows_of(reader, "group") == ["group 0"] * 3 + ["group 1"] * 3 + ["group 0"] * 3
    assert rows_of(reader, "caption")[0] == ["dog face", "dog", "pet"]
    assert rows_of(reader, "caption_de")[0] == ["Hundegesicht", "Hund"]
    assert set(rows_of(reader, "language")) == {"en"}


def test_the_first_language_is_that_of_the_captions_and_the_concept_stays_english(tmp_path: Path) -> None:
    reader = packed(emoji_packages(tmp_path / "in"), tmp_path / "out", languages=("DE",))
    assert rows_of(reader, "caption")[-1] == ["rotes Herz"]
    assert rows_of(reader, "concept")[-1] == "red heart"


def test_another_column_may_be_the_classes(tmp_path: Path) -> None:
    reader = packed(emoji_packages(tmp_path / "in"), tmp_path / "out", columns={"label": "group"})
    assert reader.manifest.class_names == ("group 0", "group 1")
    with pytest.raises(DataError, match="--column can be label=concept"):
        packed(tmp_path / "in", tmp_path / "other", columns={"label": "caption"})


def test_skin_tones_and_missing_pictures_are_counted(tmp_path: Path) -> None:
    root = emoji_packages(tmp_path / "in")
    entries = json.loads((root / EMOJI).read_text())
    entries[0]["skin_variations"] = {"1F3FB": {}, "1F3FC": {}}
    written(root / EMOJI, entries)
    (root / "emoji-datasource-twitter/img/twitter/64/1f431.png").unlink()
    notes = packed(root, tmp_path / "out").manifest.notes
    assert notes["left out, skin tones of an emoji"] == 2
    assert notes["left out, no picture in the style twitter"] == 1


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (EMOJI, "{", "is not JSON"),
        (EMOJI, {"a": 1}, "is not as the package has it"),
        (EMOJI, [{"unified": "zz", "image": "a", "category": "b", "subcategory": "c"}], "unified"),
        (
            EMOJI,
            [{"unified": "1F436", "image": "../../../../../a.png", "category": "b", "subcategory": "c"}],
            "not a file in",
        ),
        (GERMAN, [], "is not as the package has it"),
        (GERMAN, {"annotations": {"annotations": {"x": {"tts": [1]}}}}, "is not as the package has it"),
        (GERMAN, {"annotations": {"annotations": {}}}, "no names in the language de"),
    ],
)
def test_damaged_packages_are_refused_in_one_line(file: str, content: Any, message: str, tmp_path: Path) -> None:
    root = emoji_packages(tmp_path / "in")
    written(tmp_path / "a.png", b"outside")
    written(root / file, content)
    with pytest.raises(DataError, match=message) as caught:
        packed(root, tmp_path / "out", languages=("en", "de"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("languages", "message"),
    [(("xx",), "no names in the language xx"), (("en", "EN"), "twice"), (("e/../n",), "tag of a language")],
)
def test_languages_that_are_not_there(languages: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        packed(emoji_packages(tmp_path / "in"), tmp_path / "out", languages=languages)


@pytest.mark.parametrize("spec", ["emoji:", "emoji:nowhere"])
def test_a_folder_without_packages_says_how_to_get_them(spec: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="npm install"):
        pack(spec, tmp_path / "out", PLAN, SourceOptions(), lambda done, total: None)
