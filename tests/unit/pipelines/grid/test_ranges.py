from __future__ import annotations

import pytest

from pipelines.grid.ranges import check_range, edge_of, rounded, widened

RATE = {"loguniform": [0.001, 0.1]}
SHARE = {"uniform": [0.2, 1.0], "within": [0.1, 1.0]}


def test_an_edge_is_the_outer_twentieth_of_the_width() -> None:
    # The range of the rate is two decades wide: 5% are a tenth of a decade, a factor of 1.26.
    assert edge_of(0.00125, RATE) == "low"
    assert edge_of(0.0013, RATE) is None
    assert edge_of(0.077, RATE) is None
    assert edge_of(0.08, RATE) == "high"
    assert edge_of(0.24, SHARE) == "low"
    assert edge_of(0.25, SHARE) is None
    assert edge_of(5, {"int": [1, 5]}) == "high"
    assert edge_of("a", {"choice": ["a", "b"]}) is None


def test_a_natural_limit_is_no_edge() -> None:
    assert edge_of(1.0, SHARE) is None
    assert edge_of(0.1, {**SHARE, "uniform": [0.1, 1.0]}) is None


def test_a_range_is_widened_on_the_side_of_its_edge() -> None:
    assert widened(RATE, "high", 1.5)["loguniform"] == [0.001, 1.0]  # two decades become three
    assert widened(RATE, "low", 1.5)["loguniform"] == [0.0001, 0.1]
    assert widened({"uniform": [0.0, 2.0]}, "high", 2.0)["uniform"] == [0.0, 4.0]
    assert widened({"int": [2, 6]}, "high", 1.5)["int"] == [2, 8]
    assert widened({"int": [1, 2]}, "high", 1.5)["int"] == [1, 3]  # always by one at least
    assert widened({"int": [4, 9]}, "low", 1.1)["int"] == [3, 9]


def test_no_range_is_widened_beyond_its_natural_limit() -> None:
    assert widened(SHARE, "low", 2.0) == {"uniform": [0.1, 1.0], "within": [0.1, 1.0]}


def test_values_have_three_digits_and_stay_inside() -> None:
    assert rounded(0.0123456, RATE) == 0.0123
    assert rounded(0.09996, {"loguniform": [0.001, 0.09996]}) == 0.09996


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ({"uniform": [0, 1], "int": [0, 1]}, "must be one of uniform"),
        ({"uniform": [0.2, 1.0], "within": [0.3, 1.0]}, "must lie within its natural limits"),
        ({"uniform": [0.2, 1.0], "within": [None, None]}, "two natural limits"),
        ({"uniform": [0.2, 1.0], "within": ["a", 1.0]}, "two natural limits"),
        ({"loguniform": [0.2, 1.0], "within": [0.0, 1.0]}, "must lie above 0"),
        ({"choice": [1, 2], "within": [1, 2]}, "no natural limits"),
        ({"int": [1, 3], "within": [0, 4.5]}, "whole numbers"),
    ],
)
def test_a_mistake_is_named(drawn: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ValueError, match=f"x: .*{message}"):
        check_range("x", drawn, limits=True)


def test_sweeps_take_no_natural_limits() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        check_range("x", SHARE)
