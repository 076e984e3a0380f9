from __future__ import annotations

import numpy as np
import pytest

from cu_core.data.likeness import KINDS, Limit, measure_limits
from cu_core.data.signatures import FLAT, ROW, UNREADABLE, Signatures


def rows(*records: dict[str, int], **vectors: list[list[float]]) -> Signatures:
    found = np.zeros(len(records), ROW)
    for number, record in enumerate(records):
        for name, value in record.items():
            found[name][number] = value
    return Signatures(found, {name: np.array(v, np.float16) for name, v in vectors.items()}, num_classes=2)


def likeness(kind: str, a: Signatures, b: Signatures) -> list[list[float]]:
    return KINDS[kind](a, b).tolist()  # type: ignore[no-any-return]


def test_equal_pixels_are_equal_unless_they_were_not_read() -> None:
    other = rows({"pixels": 7}, {"pixels": 8}, {"pixels": 7, "state": FLAT}, {"pixels": 7, "state": UNREADABLE})
    assert likeness("exact", rows({"pixels": 7}), other) == [[1, -1, 1, -1]]
    assert likeness("exact", rows({"pixels": 7, "state": UNREADABLE}), other) == [[-1, -1, -1, -1]]


def test_hashes_are_as_alike_as_the_share_of_equal_bits() -> None:
    other = rows({"hash": 0b1111, "mirrored": 2**64 - 1}, {"hash": 0, "state": FLAT})
    assert likeness("near", rows({"hash": 0}), other) == [[1 - 4 / 64, -1]]
    assert likeness("mirrored", rows({"hash": 0}), other) == [[0, -1]]


def test_captions_are_equal_or_not_and_an_empty_one_equals_none() -> None:
    assert likeness("same caption", rows({"caption": 5}, {}), rows({"caption": 5}, {})) == [[1, -1], [-1, -1]]


def test_features_are_as_alike_as_their_cosine() -> None:
    one, other = rows({}, content=[[1, 0]]), rows({}, {}, content=[[0.6, 0.8], [0, 0]])
    assert likeness("content", one, other)[0] == pytest.approx([0.6, 0], abs=1e-3)


def spread_hashes(count: int, rng: np.random.Generator) -> list[dict[str, int]]:
    hashes, mirrors = (rng.integers(0, 2**63, count, dtype=np.uint64) for _ in range(2))
    return [
        {"hash": int(h), "mirrored": int(m), "label": n % 2}
        for n, (h, m) in enumerate(zip(hashes, mirrors, strict=True))
    ]


def test_the_limit_is_stricter_where_rows_of_other_classes_are_alike(rng: np.random.Generator) -> None:
    records = spread_hashes(60, rng)
    assert measure_limits(rows(*records))["near"] == Limit(1 - 10 / 64, 0, 900)
    records[1]["hash"] = records[0]["hash"] ^ 0b111  # another class, 3 bits apart
    assert measure_limits(rows(*records))["near"] == Limit(1 - 2 / 64, 0, 900)
    assert measure_limits(rows(*records), rate=0.01)["near"] == Limit(1 - 10 / 64, 1, 900)


def test_copies_of_one_class_do_not_change_the_limit(rng: np.random.Generator) -> None:
    records = spread_hashes(60, rng)
    records[2]["hash"] = records[0]["hash"]
    assert measure_limits(rows(*records))["near"].least == 1 - 10 / 64


def test_a_way_to_compare_that_cannot_tell_rows_apart_is_off(rng: np.random.Generator) -> None:
    records = spread_hashes(60, rng)
    records[1]["hash"] = records[0]["hash"]  # of another class
    limits = measure_limits(rows(*records, caption=[[1, 0]] * 60))  # one caption for all
    assert limits["near"].least is None
    assert limits["caption"].least is None
    assert limits["caption"].told.startswith("off: too many of ")


def test_the_limit_of_features_is_measured_on_images_that_look_different(rng: np.random.Generator) -> None:
    records = spread_hashes(60, rng)
    low_half = 2**32 - 1
    records[1]["hash"] = records[0]["hash"] ^ low_half  # 32 bits apart, mirrored too
    records[0]["mirrored"] = records[1]["hash"] ^ low_half
    features = np.eye(64)[:60]
    features[1] = 0.7 * features[0] + np.sqrt(1 - 0.49) * features[1]
    limit = measure_limits(rows(*records, content=features.tolist()))["content"]
    assert limit.least == pytest.approx(0.7, abs=1e-3)
    assert limit.least > 0.7
    records[1]["hash"] = records[0]["hash"]  # they look the same: not known to differ
    again = measure_limits(rows(*records, content=features.tolist()))["content"]
    assert again.least == 0.5
