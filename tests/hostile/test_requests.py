"""Predicates, lists of ids and class names of odd pieces: each is read, or refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.hostile.fuzz_requests import run, try_one


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_a_request_is_read_or_refused_in_one_line(start: int) -> None:
    for seed in range(start, start + 100):
        try_one(seed)


def test_the_long_form_runs_for_a_time() -> None:
    assert run(0.2, 10_000) > 0


def test_every_test_that_the_page_of_inputs_names_exists() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "results" / "inputs" / "requests.md").read_text()
    named = re.findall(r"`(\w[\w/]*\.py)::(\w+)`", page)
    assert len(named) > 80
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (root / "tests" / file).read_text()]
    assert not missing
