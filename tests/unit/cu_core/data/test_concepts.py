from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cu_core.data.concepts import ByConcept, find_concept
from cu_core.data.convert import SplitPlan, pack
from cu_core.data.requests import resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from tests.unit.cu_core.data.test_convert import no_progress, png

CAPTIONS = [
    "a Dog in the park",
    "two dogs asleep",
    "a hot dog with mustard",
    "hotdog stand",
    "a guide\tdog at work",
    "a cat",
    "a dgo, misspelt",
    "nothing here",
]


@pytest.fixture
def pairs(tmp_path: Path) -> ShardReader:
    (tmp_path / "in").mkdir()
    table = pa.table({"sample_id": range(8), "image": [png(i) for i in range(8)], "caption": CAPTIONS})
    pq.write_table(table, tmp_path / "in" / "train.parquet")
    pack(f"parquet:{tmp_path / 'in'}", tmp_path / "out", SplitPlan(0, 0), SourceOptions(), no_progress)
    return ShardReader(tmp_path / "out", image_size=12)


def matched(reader: ShardReader, **request: object) -> list[str]:
    rows = resolve_request(ByConcept(**request), reader).rows  # type: ignore[arg-type]
    return [texts[0] for texts in reader.captions("train", rows)]


def test_whole_words_in_any_case(pairs: ShardReader) -> None:
    assert sorted(matched(pairs, concept="dog")) == sorted([CAPTIONS[0], CAPTIONS[2], CAPTIONS[4]])
    assert CAPTIONS[1] in matched(pairs, concept="dog", synonyms=("dogs",))


def test_phrases_bear_any_white_space(pairs: ShardReader) -> None:
    assert matched(pairs, concept="guide dog") == [CAPTIONS[4]]


def test_near_misses_and_examples_are_reported(pairs: ShardReader) -> None:
    report = find_concept(ByConcept(concept="dog"), pairs)
    assert (report.of_class, report.by_caption) == (0, 3)
    assert set(report.examples) == {CAPTIONS[0], CAPTIONS[2], CAPTIONS[4]}
    assert {"dogs", "hotdog"} <= dict(report.near_misses).keys()


def test_a_concept_that_matches_no_row_or_every_row(pairs: ShardReader) -> None:
    with pytest.raises(ValueError, match="forgets nothing: no caption names zebra; nothing comes near"):
        matched(pairs, concept="zebra")
    with pytest.raises(ValueError, match=r"near misses: mustard \(1\)"):
        matched(pairs, concept="mustards")
    with pytest.raises(ValueError, match="forgets all"):
        matched(pairs, concept="a", synonyms=("dogs", "stand", "nothing"))
    with pytest.raises(ValueError, match="each hold a word"):
        ByConcept(concept="  ")


def test_a_class_of_the_name_counts_too(tmp_path: Path, reader: ShardReader) -> None:
    pack(
        "digits",
        tmp_path / "d",
        SplitPlan(),
        SourceOptions(captions=("number {class}",)),
        no_progress,
    )
    captioned = ShardReader(tmp_path / "d")
    report = find_concept(ByConcept(concept="5"), captioned)
    assert report.of_class == report.by_caption == len(report.rows)
    assert (captioned.labels("train", report.rows) == 5).all()
    with pytest.raises(ValueError, match="matches captions.*has none"):
        find_concept(ByConcept(concept="5"), reader)
    assert np.all(np.diff(report.rows) > 0)


def told(tmp_path: Path, captions: list[str]) -> ShardReader:
    (tmp_path / "in").mkdir()
    rows = len(captions)
    table = pa.table({"sample_id": range(rows), "image": [png(i) for i in range(rows)], "caption": captions})
    pq.write_table(table, tmp_path / "in" / "train.parquet")
    pack(f"parquet:{tmp_path / 'in'}", tmp_path / "out", SplitPlan(0, 0), SourceOptions(), no_progress)
    return ShardReader(tmp_path / "out", image_size=12)


@pytest.mark.parametrize(
    ("concept", "caption", "other"),
    [
        ("caf\u00e9", "a cafe\u0301 at night", "a cafeteria"),
        ("cafe\u0301", "a CAF\u00c9 at night", "a cafe"),
        ("stra\u00dfe", "eine STRASSE", "strassenbahn"),
        ("\u0399\u039c\u0391\u03a3", "\u03b9\u03bc\u03b1\u03c2 \u03ba\u03b1\u03b9", "\u03b1\u03bb\u03bb\u03bf"),
        ("\u72d7", "\u516c\u56ed\u91cc\u7684\u72d7\u5728\u8dd1", "\u516c\u56ed\u91cc\u7684\u732b"),
        ("\u3044\u306c", "\u3053\u306e\u3044\u306c\u306f\u5927\u304d\u3044", "\u306d\u3053"),
        ("\u30c9\u30c3\u30b0", "\uff84\uff9e\uff6f\uff78\uff9e\u3067\u3059", "\u30ad\u30e3\u30c3\u30c8"),
        ("dog", "\uff44\uff4f\uff47 park", "dogs"),
        ("c++", "a c++ book", "a c+ book"),
        ("no", "no entry", "nothing"),
    ],
)
def test_forms_of_letters_do_not_matter_in_any_script(concept: str, caption: str, other: str, tmp_path: Path) -> None:
    assert matched(told(tmp_path, [caption, other]), concept=concept) == [caption]


def test_words_after_the_tokenizers_limit_are_counted(tmp_path: Path) -> None:
    reader = told(
        tmp_path, ["a dog in the park", "in the park one day a dog", "in the park the dog and a dog", "a cat"]
    )

    def tokenize(texts: Sequence[str]) -> torch.Tensor:
        rows = [([hash(word) % 1000 + 1 for word in text.split()] + [0] * 4)[:4] for text in texts]
        return torch.tensor(rows)

    report = find_concept(ByConcept(concept="dog"), reader, tokenize=tokenize)
    assert (report.by_caption, report.unread) == (3, 2)
    assert any("2 rows name it only after the tokenizer's limit" in line for line in report.lines)
    assert not find_concept(ByConcept(concept="dog"), reader).unread
