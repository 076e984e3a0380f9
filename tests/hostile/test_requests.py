"""Predicates, lists of ids and class names of odd pieces: each is read, or refused in one line."""

from __future__ import annotations

import pytest

from tests.hostile.fuzz_requests import run, try_one


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_a_request_is_read_or_refused_in_one_line(start: int) -> None:
    for seed in range(start, start + 100):
        try_one(seed)


def test_the_long_form_runs_for_a_time() -> None:
    assert run(0.2, 10_000) > 0
