from __future__ import annotations

import numpy as np
import pytest

from cu_core.data import duplicates
from cu_core.data.duplicates import IMAGE_KINDS, find_copies
from cu_core.data.likeness import Limit
from cu_core.data.signatures import ROW, Signatures

LIMITS = {"near": Limit(60 / 64, 0, 1), "content": Limit(0.9, 0, 1), "caption": Limit(0.9, 0, 1)}


def signed(**columns: list[int]) -> Signatures:
    found = np.zeros(len(next(iter(columns.values()))), ROW)
    found["pixels"] = np.arange(len(found))
    found["mirrored"] = 2**64 - 1 - 7919 * np.arange(len(found)).astype(np.uint64)
    for name, values in columns.items():
        found[name] = values
    return Signatures(found)


def pairs(rows: Signatures, of: list[int] | None = None, kinds: tuple[str, ...] = IMAGE_KINDS[:3]) -> list[object]:
    parts = find_copies(rows, LIMITS, kinds, None if of is None else np.array(of))
    return [
        (int(r), int(o), kinds[k], round(float(v), 3))
        for part in parts
        for r, o, k, v in zip(part.rows, part.of, part.kinds, part.likeness, strict=True)
    ]


def far(number: int) -> int:
    return int(np.random.default_rng(number).integers(2**63))


def test_a_row_is_a_copy_of_the_row_before_it_that_is_most_alike() -> None:
    rows = signed(hash=[far(1), far(1) ^ 0b11, far(2), far(1) ^ 0b10])
    assert pairs(rows) == [(1, 0, "near", 0.969), (3, 0, "near", 0.984)]


def test_the_surest_kind_is_told() -> None:
    rows = signed(hash=[far(1), far(1), far(3)], pixels=[5, 5, 9], mirrored=[far(3), far(4), far(5)])
    assert pairs(rows) == [(1, 0, "exact", 1.0), (2, 0, "mirrored", 1.0)]


def test_only_other_rows_are_copies_of_the_rows_that_are_asked_for() -> None:
    rows = signed(hash=[far(1), far(2), far(1), far(1), far(2)])
    assert pairs(rows, of=[2, 3]) == [(0, 2, "near", 1.0)]
    assert pairs(rows, of=[]) == []


def test_a_kind_whose_limit_is_off_finds_nothing() -> None:
    rows = signed(hash=[far(1), far(1)])
    (found,) = find_copies(rows, {"near": Limit(None, 5, 5)}, ("exact", "near"))
    assert len(found.rows) == 0


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_blocks_do_not_change_what_is_found(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [far(number % 4) for number in range(11)]
    expected = pairs(signed(hash=values)), pairs(signed(hash=values), of=[0, 6])
    monkeypatch.setattr(duplicates, "BLOCK", block)
    assert (pairs(signed(hash=values)), pairs(signed(hash=values), of=[0, 6])) == expected
    assert len(expected[0]) == 7
    assert [row for row, *_ in expected[1]] == [2, 4, 8, 10]  # type: ignore[misc]
