from __future__ import annotations

import pytest

from cu_core.messages import LONGEST_SHOWN, reason_of, shown_some, shown_value


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, 10**5000, -(10**5000), [[0] * 1000] * 1000, b"y" * 999, "\n" * 500],
    ids=lambda v: type(v).__name__,
)
def test_whatever_came_is_shown_in_one_short_line(value: object) -> None:
    assert len(shown_value(value)) <= LONGEST_SHOWN + 3
    assert "\n" not in shown_value(value)


def test_short_values_are_shown_whole() -> None:
    assert [shown_value(v) for v in ("a", 3, None, 0.5)] == ["'a'", "3", "None", "0.5"]
    assert shown_value(10**5000) == "a number of 16610 bits"


def test_the_first_of_many_are_shown_with_the_number_of_the_others() -> None:
    assert shown_some([1, 2]) == "1, 2"
    assert shown_some(range(8)) == "0, 1, 2, 3, 4 and 3 more"


def test_the_reason_of_an_error_is_one_line() -> None:
    assert reason_of(ValueError("first\nsecond")) == "first"
    assert reason_of(ValueError("x" * 300), 5) == "xxxxx"
    assert reason_of(ValueError()) == "ValueError"
