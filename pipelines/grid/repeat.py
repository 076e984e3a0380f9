"""``cu repeat``: run one configuration over seeds, classes or other settings. Finished cells are reused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cu_core.audit.report import AuditReport
from cu_core.config_io import load_config
from cu_core.errors import ConfigError, UserError
from cu_core.files import write_text
from pipelines.console import console, counted
from pipelines.grid.cells import Cell, Failure, run_cells
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line, machine
from pipelines.run.plan import make_plan


def expand(config: Path, overrides: Sequence[str], vary: Sequence[str]) -> list[Cell]:
    """Make a cell per combination of the varied settings. ``KEY,KEY=V1|V2`` gives both keys the same value.

    Raises: ConfigError for a setting without values.
    """
    axes = []
    for text in vary:
        keys, equals, values = text.partition("=")
        if not equals or not values:
            raise ConfigError(f"--vary {text!r} must have the form KEY=V1|V2|..., e.g. 'seed=0|1|2'.")
        axes.append([[f"{key}={value}" for key in keys.split(",")] for value in values.split("|")])
    cells = []
    for combination in itertools.product(*axes):
        settings = list(itertools.chain.from_iterable(combination))
        plan = make_plan(load_config(config, [*overrides, *settings]))
        cells.append(Cell(" ".join(settings) or "one run", plan))
    return cells


def _mean(values: Sequence[float], digits: int = 1) -> str:
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


HEADINGS = ("metric", "original", "unlearned", "oracle", "unlearned - oracle", "above / below the oracle")


def markdown(reports: Sequence[AuditReport]) -> str:
    """Make the table of means and standard deviations over the cells. Differences are taken within each cell."""
    lines = []
    for i, row in enumerate(reports[0].rows):
        rows = [r.rows[i] for r in reports]
        gaps = [r.difference for r in rows if r.difference is not None]
        oracles = [float(np.mean(r.oracles)) for r in rows if r.oracles]
        sides = f"{sum(g > 0 for g in gaps)} / {sum(g < 0 for g in gaps)}"
        values = [_mean([r.original for r in rows]), _mean([r.unlearned for r in rows])]
        beside = [_mean(part) if part else "none" for part in (oracles, gaps)]
        lines.append([row.title, *values, *beside, sides])
    gaps = [r.gap.mean for r in reports if r.gap]
    nothing = [r.doing_nothing_gap.mean for r in reports if r.doing_nothing_gap]
    if gaps:
        lines.append(["**mean gap**", _mean(nothing, 2), _mean(gaps, 2), "0", "", ""])
        share = [100 * r.cost["rows_frac"] for r in reports]
        own = [r.cost["forget_rows"] + r.cost["retain_rows"] for r in reports]
        retrained = _mean([r.cost["retrain_rows"] for r in reports], 0)
        read = f"{_mean(own, 0)} ({_mean(share)}% of retraining)"
        lines.append(["training rows read", "", read, retrained, "", ""])
    frozen = [r.cost["frozen_rows"] + r.cost["prepare_rows"] for r in reports]
    if any(frozen):
        lines.append(["rows through frozen models", "", _mean(frozen, 0), "", "", ""])
    lines.append(["stop-check rows read", "", _mean([r.cost["stop_rows"] for r in reports], 0), "", "", ""])
    fired = sum(r.stop.get("fired_at") is not None for r in reports)
    kept = sum(r.stop.get("kept_holds", False) for r in reports)
    below = (
        f"The stop rule fired in {fired} of {counted(len(reports), 'run')}. A state that satisfies rule and guard was "
        f"kept in {kept}. Forget rows in the retain stream: {sum(r.leaks for r in reports)}."
    )
    return f"{markdown_table(HEADINGS, lines)}\n\n{below}"


def stop_words(cell: Cell, report: AuditReport) -> str:
    """Describe the stop rule's decision in one run."""
    if cell.plan.config.stop.rule == "none":
        return "no stop rule"
    fired, kept = report.stop.get("fired_at"), report.stop.get("kept_step")
    held = f"stop rule fired at step {fired}" if fired is not None else "the stop rule never fired"
    return held if kept is not None else f"{held}, no state could be kept"


def run_repeat(config: Path, overrides: list[str], vary: list[str], out: Path | None) -> None:
    check_out(out)
    cells = expand(config, overrides, vary)
    outcomes = run_cells(cells)
    failed = [f"{c.label}: {o.reason}" for c, o in zip(cells, outcomes, strict=True) if isinstance(o, Failure)]
    if failed:
        raise UserError(f"{len(failed)} of {counted(len(cells), 'run')} cannot be finished; {failed[0]}")
    reports = [o for o in outcomes if not isinstance(o, Failure)]
    each = "\n".join(
        f"- {c.label}: " + ", ".join([*([f"gap {r.gap.mean:.2f}", r.verdict.word] if r.gap else []), stop_words(c, r)])
        for c, r in zip(cells, reports, strict=True)
    )
    text = (
        f"```\n{command_line()}\n```\n\n"
        f"{counted(len(cells), 'run')} on {machine()}. Mean ± standard deviation over the runs.\n\n"
        f"{markdown(reports)}\n\n{each}\n"
    )
    print(text)
    if out is not None:
        write_text(out, text)
        console.print(f"written to {out}")
