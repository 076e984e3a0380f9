"""``cu bench step``: a table with a row per batch size, also as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from cu_core.bench import StepCost, bench
from cu_core.config import RunConfig
from cu_core.files import write_text
from pipelines.console import bars, console
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line, machine

HEADINGS = ("batch", "rows a step", "seconds a step", "rows a second", "plain step / step", "peak memory (MiB)")


def _cells(cost: StepCost) -> list[str]:
    return [
        str(cost.batch),
        str(cost.rows),
        f"{cost.seconds:.3f}",
        f"{cost.rows / cost.seconds:.1f}",
        "" if cost.plain is None else f"{cost.plain:.2f}",
        f"{cost.peak_bytes / 2**20:.0f}",
    ]


def run_bench(config: RunConfig, batches: Sequence[int], steps: int, out: Path | None) -> None:
    """Measure and print the table. With ``out``, also write it."""
    check_out(out)
    costs: list[StepCost] = []
    with bars() as drawn:
        for number, cost in enumerate(bench(config, batches, steps), 1):
            costs.append(cost)
            drawn.update("bench", number, len(batches), f"batch {cost.batch}")
    shown = Table(title=f"one step of {config.method.name} on {costs[0].device}, {costs[0].threads} thread(s)")
    for heading in HEADINGS:
        shown.add_column(heading, justify="right")
    for cost in costs:
        shown.add_row(*_cells(cost))
    console.print(shown)
    if out is not None:
        table = markdown_table(HEADINGS, map(_cells, costs))
        about = f"{costs[0].device}, {costs[0].threads} thread(s), {steps} steps after a first one; {machine()}."
        notes = (
            "Memory is the increase over the loaded model, with the plain step's. A plain step is cross-entropy on as "
            "many retain rows; one follows each step, and the median of the ratios is shown."
        )
        write_text(out, f"```\n{command_line()}\n```\n\n{about} {notes}\n\n{table}\n")
        console.print(f"written to {out}")
