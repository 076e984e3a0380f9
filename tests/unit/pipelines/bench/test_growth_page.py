from __future__ import annotations

from typing import Any

from pipelines.bench.growth_page import AXES, FIGURES, page, plot


def rows() -> Any:
    one = {"retain": 1000, "classes": 10, "forget": 50, "steps": 4}
    two = one | {"retain": 20_000}
    cost = {"first_step_seconds": 0.5, "seconds": 2.0, "peak_bytes": 3 * 2**20}
    return {"retain": [(one, cost), (two, cost | {"seconds": 3.0})], "classes": [(one, cost)], "forget": [(one, cost)]}


def test_a_table_for_each_axis_against_its_first_size() -> None:
    text = page(rows(), rows()["retain"][0][0])
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## By {name}" for name in AXES.values()]
    assert "| 20,000 | 0.50 | 1.00 | 3.00 | 1.50 | 3.00 | 1.00 |" in text
    assert "4 steps of 64 + 64 rows" in text


def test_the_plot_names_every_axis_and_figure() -> None:
    drawn = plot(rows())
    assert all(name in drawn for name in AXES.values())
    assert all(title in drawn for title, _ in FIGURES.values())
