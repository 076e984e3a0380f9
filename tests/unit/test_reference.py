"""The pages of docs/reference that are made from the code are what docs/make_reference.py makes."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("settings.md", "cli.md", "files.md")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "make_reference.py"))


def test_all_generated_pages_are_compared(script: dict[str, Any]) -> None:
    assert tuple(script["PAGES"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_that_of_the_code(name: str, script: dict[str, Any]) -> None:
    make: Callable[[], str] = script["PAGES"][name]
    assert (ROOT / "docs" / "reference" / name).read_text() == make(), "run: python docs/make_reference.py"


def test_settings_have_their_default_values_and_meaning(script: dict[str, Any]) -> None:
    page = script["settings_page"]()
    for row in (
        "| `audit.margin_points` | number, above 0 to 3 | `3.0` | Equivalence margin:",
        "| `workers.precision` | `float32`, `bfloat16`, `float64` | `float32` |",
        "| `train.optimizer.lr` | number, above 0 to 1000000000 | `0.1` | Peak learning rate. |",
        "| `request.where` | text | required |",
        "| `methods.LABEL.published` | `true`, `false` | `false` |",
        "| `workers.min_count` | integer, 1 to 10000 or `null` | `null` |",
    ):
        assert row in page
    assert "| `optimizer.lr` | `0.005` | `0.01` | `0.001` | `0.001` |" in page


def test_every_setting_has_a_meaning(script: dict[str, Any]) -> None:
    rows = [line for line in script["settings_page"]().splitlines() if line.startswith("| `")]
    assert len(rows) > 200
    assert [row for row in rows if row.endswith("| |")] == []
