"""A finished comparison as Markdown, HTML, CSV and in the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.table import Table

from cu_core.audit.table import METRICS
from cu_core.files import write_text
from pipelines.compare.digests import check_unmixed, settings_digest
from pipelines.compare.result_table import Entry, ResultTable
from pipelines.compare.run import ComparisonResult
from pipelines.compare.search_table import left_out, search_table, searches_as_json, settings_lines
from pipelines.compare.table import NOTHING, ORACLE, cell_frame, tables
from pipelines.console import counted
from pipelines.report.audit_page import environment
from pipelines.report.markdown import markdown_table
from pipelines.report.plots import COLOURS, svg
from pipelines.report.provenance import machine

LEGEND = (
    "Mean ± standard deviation over requests and seeds. Bold: the best of a column (smallest distance). †: a tie "
    "within the spread of the paired difference. Both marks are only given to methods without an under-forgotten run, "
    "because a small gap alone is no proof. Controls come first and have no marks. The oracle's row compares one "
    "retrained model with others, which shows how a perfect method would score: with a second oracle if there are "
    "several, otherwise with those of the other seeds (for drawn requests: of other rows). Rows: all rows forwarded "
    "through any model, including preparation, without stop checks."
)
MARKDOWN = {"": "{}", "best": "**{}**", "tie": "{} †"}
TERMINAL = {"": "{}", "best": "[bold green]{}[/]", "tie": "{}†"}

UTILITY = "test_accuracy - oracle"


def terminal_table(table: ResultTable) -> Table:
    """Draw a table for the terminal. It shows only the spread of the gap; the files hold all spreads."""
    drawn = Table(title=table.title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    kept = [i for i, heading in enumerate(table.headings) if heading not in ("steps", "stop rows", "seconds")]
    for i in kept:
        words = table.headings[i].replace(" ", "\n")
        drawn.add_column(words, justify="left" if i == 0 else "right", no_wrap=True)
    for number, (name, entries) in enumerate(table.rows, 1):
        short = [name, *(_terminal(e, spread=table.headings[i] == "gap") for i, e in enumerate(entries, 1))]
        drawn.add_row(*(short[i] for i in kept), end_section=number == table.controls)
    return drawn


def _terminal(entry: Entry, *, spread: bool) -> str:
    text = entry.text if spread else entry.text.split(" ±")[0]
    return TERMINAL[entry.mark].format(text)


def as_markdown(table: ResultTable) -> str:
    rows = [[name, *(_marked(e) for e in entries)] for name, entries in table.rows]
    lines = [f"**{table.title}**", "", markdown_table(table.headings, rows)]
    return "\n".join(lines + [f"\n**Warning.** {w}" for w in table.warnings] + [f"\n{note}" for note in table.notes])


def _marked(entry: Entry) -> str:
    return MARKDOWN[entry.mark].format(entry.text)


def markdown(finished: ComparisonResult, made: Sequence[ResultTable], command: str) -> str:
    config = finished.comparison.config
    head = [
        f"```\n{command}\n```",
        f"{counted(len(finished.results), 'run')} on {machine()}; budget {config.budget_rows:,} rows per run; seeds "
        f"{', '.join(map(str, config.seeds))}. {LEGEND}",
    ]
    lists = {"Settings": settings_lines(finished), "Left out": left_out(finished) or ["nothing"]}
    below = [f"{title}:\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in lists.items()]
    return "\n\n".join([*head, *(as_markdown(t) for t in made), *below]) + "\n"


def scatter(frame: pd.DataFrame, group: str) -> str:
    """Plot the distance to the oracle on forget metrics against test accuracy.

    The area of a point is the number of rows forwarded. The oracle is at (0, 0). Empty if no run has both figures.
    """
    part = frame[frame["group"] == group]
    forget = [
        f"{n} - oracle" for n, m in METRICS.items() if m.in_gap and m.side == "forget" and f"{n} - oracle" in part
    ]
    if UTILITY not in part:
        return ""
    part = part.assign(x=part[forget].abs().mean(axis=1))
    means = part.groupby("method")[["x", UTILITY, "rows", "gap"]].mean().dropna(subset=["x", UTILITY])
    means = means.drop(index=[ORACLE], errors="ignore").sort_values("gap")
    if means.empty:
        return ""
    figure = Figure(figsize=(7.2, 4))
    axes = figure.subplots()
    largest = max(means["rows"].max(), 1)
    for number, (method, row) in enumerate(means.iterrows(), 1):
        colour = (
            COLOURS["original"] if method == NOTHING else COLOURS["unlearned"] if "contrastive" in str(method) else None
        )
        area = 60 + 340 * row["rows"] / largest
        axes.scatter(row["x"], row[UTILITY], s=area, alpha=0.5, color=colour, label=f"{number} {method}")
        axes.annotate(str(number), (row["x"], row[UTILITY]), ha="center", va="center", fontsize=7)
    axes.axhline(0, color="#8a8f98", lw=0.8)
    axes.axvline(0, color="#8a8f98", lw=0.8)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(-0.2, 1.4 * means["x"].max() + 0.5)
    axes.margins(y=0.15)
    axes.set(
        xlabel="forgetting: mean distance to the oracle (points)", ylabel="retain test accuracy - oracle's (points)"
    )
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(handles, labels, frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    for handle in legend.legend_handles:
        handle.set_sizes([30])  # type: ignore[union-attr]
    return svg(figure)


def all_tables(finished: ComparisonResult, frame: pd.DataFrame) -> list[ResultTable]:
    """Return the tables of the groups, then the table of the searches."""
    searched = search_table(finished)
    return [*tables(finished, frame), *([searched] if searched else [])]


def write_files(finished: ComparisonResult, command: str, folder: Path) -> None:
    """Write the files of the comparison.

    These are ``table.md``, ``table.csv`` (means and spreads), ``cells.csv`` (every cell), ``comparison.json``
    (searches, digests of settings and cells) and ``report.html``.

    Raises: UserError for cells that must not be in one page.
    """
    check_unmixed(finished)
    frame = cell_frame(finished)
    made = all_tables(finished, frame)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "table.md", markdown(finished, made, command))
    write_text(folder / "cells.csv", frame.to_csv(index=False))
    numbers = frame.select_dtypes("number").drop(columns=["request", "seed"])
    spread = numbers.groupby([frame["group"], frame["method"]]).agg(["mean", lambda x: x.std(ddof=1)])
    spread.columns = [f"{c} {'mean' if s == 'mean' else 'sd'}" for c, s in spread.columns]
    write_text(folder / "table.csv", spread.reset_index().to_csv(index=False))
    write_text(folder / "comparison.json", json.dumps(_record(finished, frame, command), indent=1))
    _write_html(finished, frame, made, command, folder / "report.html")


def _record(finished: ComparisonResult, frame: pd.DataFrame, command: str) -> dict[str, Any]:
    comparison = finished.comparison
    return {
        "command": command,
        "settings": {label: settings_digest(comparison, label) for label in comparison.config.methods},
        "searches": searches_as_json(finished),
        "cells": json.loads(frame.to_json(orient="records")),
        "digests": {r.cell.label: r.cell.digest for r in finished.results},
        "left out": left_out(finished),
    }


def _write_html(
    finished: ComparisonResult, frame: pd.DataFrame, made: list[ResultTable], command: str, target: Path
) -> None:
    groups = list(finished.comparison.config.requests)
    page = environment().get_template("compare.html.jinja")
    html = page.render(
        command=command,
        machine=machine(),
        legend=LEGEND,
        config=finished.comparison.config,
        count=len(finished.results),
        tables=made,
        pictures={group: scatter(frame, group) for group in groups},
        settings=settings_lines(finished),
        left_out=left_out(finished),
    )
    write_text(target, html)
