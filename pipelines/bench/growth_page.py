"""Tables and plot of ``cu bench growth``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from pipelines.report.markdown import markdown_table
from pipelines.report.plots import svg
from pipelines.report.provenance import command_line, machine

AXES = {"retain": "retain rows", "classes": "classes", "forget": "forget rows"}
FIGURES = {
    "first_step_seconds": ("time to first step (s)", 1.0),
    "seconds": ("whole unlearning (s)", 1.0),
    "peak_bytes": ("peak memory (MiB)", 1 / 2**20),
}
Rows = Mapping[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]]
"""By axis: sizes and cost of its cells."""


def page(rows: Rows, base: Mapping[str, Any]) -> str:
    """Return the Markdown page."""
    parts = [f"```\n{command_line()}\n```"]
    others = ", ".join(f"{base[axis]:,} {name}" for axis, name in AXES.items())
    parts.append(
        "Random grey images of 8 x 8 pixels in shards of 65,536 rows, all written; resnet10 of width 16, the default "
        f"method on a sample request, {base['steps']} steps of 64 + 64 rows, no stop rule, no audit. Each row is one "
        f"process. What is not varied: {others}. The time to the first step has no imports in it. Memory is the "
        f"increase over the process with its libraries. {machine()}, one thread."
    )
    for axis, name in AXES.items():
        cells = [[f"{sizes[axis]:,}", *_shown(cost, rows[axis][0][1])] for sizes, cost in rows[axis]]
        headings = [name]
        for title, _ in FIGURES.values():
            headings += [title, "against the first"]
        parts.append(f"## By {name}\n\n{markdown_table(headings, cells)}")
    return "\n\n".join([*parts, "![growth](growth.svg)"]) + "\n"


def _shown(cost: Mapping[str, Any], first: Mapping[str, Any]) -> list[str]:
    found = []
    for key, (_, unit) in FIGURES.items():
        found += [f"{cost[key] * unit:,.2f}", f"{cost[key] / first[key]:.2f}" if first[key] else ""]
    return found


def plot(rows: Rows) -> str:
    """Return the plot as SVG: a column for each axis, a row for each figure."""
    figure = Figure(figsize=(8.4, 6.6), layout="constrained")
    places = figure.subplots(len(FIGURES), len(AXES), squeeze=False, sharex="col", sharey="row")
    for across, (axis, name) in enumerate(AXES.items()):
        for down, (key, (title, unit)) in enumerate(FIGURES.items()):
            axes = places[down][across]
            points = sorted((sizes[axis], cost[key] * unit) for sizes, cost in rows[axis])
            axes.plot(*zip(*points, strict=True), "o-", color="#2e86ab")
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.grid(lw=0.4)
            if across == 0:
                axes.set_ylabel(title)
        places[-1][across].set_xlabel(name)
    return svg(figure)
