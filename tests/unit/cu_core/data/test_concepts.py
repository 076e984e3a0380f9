from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
