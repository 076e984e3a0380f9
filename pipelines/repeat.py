"""``cu repeat``: one configuration over seeds, classes or any settings; finished cells are found, never run again."""

from __future__ import annotations

import itertools
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from pydantic import TypeAdapter

from cu_core.audit.report import REPORT_VERSION, AuditReport
from cu_core.config_io import ConfigError, load_config
from cu_core.files import digest_of, write_text
from cu_core.run import Hooks, run_unlearn
from pipelines import launch
from pipelines.plan import Plan, make_plan
from pipelines.progress import console, ray_board


@dataclass(frozen=True)
class Cell:
    """One combination."""

    label: str
    plan: Plan

    @property
    def folder(self) -> Path:
        audit = TypeAdapter(type(self.plan.config.audit)).dump_python(self.plan.config.audit)
        return self.plan.config.store / "cells" / digest_of([self.plan.digest, audit, REPORT_VERSION])


def expand(config: Path, overrides: Sequence[str], vary: Sequence[str]) -> list[Cell]:
    """Every combination of the varied settings; ``KEY,KEY=V1|V2`` gives both keys the same value.

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


@ray.remote
def _run_cell(cell: Cell) -> None:
    """Unlearn and audit one cell; ``audit.json`` is written last and marks it as finished."""
    plan = cell.plan
    run_unlearn(plan.config, plan.original.folder, plan.forget_file, cell.folder / "unlearned", Hooks())
    report = launch.audit_here(plan, cell.folder / "unlearned", None, lambda role: None)
    write_text(cell.folder / "audit.json", TypeAdapter(AuditReport).dump_json(report, indent=1).decode())


def run_cells(cells: Sequence[Cell]) -> list[AuditReport]:
    """Train what is missing, run what is not finished, side by side."""
    missing = {job.folder: (cell.plan.config, job) for cell in cells for job in cell.plan.missing}
    todo = [cell for cell in cells if not (cell.folder / "audit.json").is_file()]
    console.print(
        f"{len(cells)} cells: {len(cells) - len(todo)} found, {len(todo)} to run, {len(missing)} models to train"
    )
    if missing or todo:
        with launch.ray_session(cells[0].plan.config):
            if missing:
                launch.train_side_by_side(list(missing.values()))
            with ray_board() as board:
                options = [launch.task_options(cell.plan.config) for cell in todo]
                pending = [_run_cell.options(**o).remote(cell) for o, cell in zip(options, todo, strict=True)]
                while pending:
                    done, pending = ray.wait(pending)
                    ray.get(done)
                    board.update.remote("cells", len(todo) - len(pending), len(todo), "")
    adapter = TypeAdapter(AuditReport)
    return [adapter.validate_json((cell.folder / "audit.json").read_text()) for cell in cells]


def markdown(reports: Sequence[AuditReport]) -> str:
    """Mean and standard deviation over the cells; the difference is taken within each cell."""

    def cell(values: Sequence[float], digits: int = 1) -> str:
        spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{np.mean(values):.{digits}f}{spread}"

    lines = [
        "| metric | original | unlearned | oracle | unlearned - oracle | above / below the oracle |",
        "|---|---|---|---|---|---|",
    ]
    for i, row in enumerate(reports[0].rows):
        rows = [r.rows[i] for r in reports]
        gaps = [r.difference for r in rows if r.difference is not None]
        oracles = [float(np.mean(r.oracles)) for r in rows if r.oracles]
        sides = f"{sum(g > 0 for g in gaps)} / {sum(g < 0 for g in gaps)}"
        lines.append(
            f"| {row.title} | {cell([r.original for r in rows])} | {cell([r.unlearned for r in rows])} | "
            f"{cell(oracles) if oracles else 'none'} | {cell(gaps) if gaps else 'none'} | {sides} |"
        )
    gaps = [r.gap.mean for r in reports if r.gap]
    nothing = [r.doing_nothing_gap.mean for r in reports if r.doing_nothing_gap]
    if gaps:
        lines.append(f"| **mean gap** | {cell(nothing, 2)} | {cell(gaps, 2)} | 0 |  |  |")
        share = [100 * r.cost["rows_frac"] for r in reports]
        own = [r.cost["forget_rows"] + r.cost["retain_rows"] for r in reports]
        lines.append(
            f"| training rows read |  | {cell(own, 0)} ({cell(share)}% of retraining) | "
            f"{cell([r.cost['retrain_rows'] for r in reports], 0)} |  |  |"
        )
    lines.append(f"| stop-check rows read |  | {cell([r.cost['stop_rows'] for r in reports], 0)} |  |  |  |")
    fired = sum(r.stop.get("fired_at") is not None for r in reports)
    kept = sum(r.stop.get("kept_holds", False) for r in reports)
    lines += [
        "",
        f"Stop rule fired in {fired} of {len(reports)} runs, a state satisfying rule and guard was kept in {kept}; "
        f"forget rows found in the retain stream: {sum(r.leaks for r in reports)}.",
    ]
    return "\n".join(lines)


def run_repeat(config: Path, overrides: list[str], vary: list[str], out: Path | None) -> None:
    cells = expand(config, overrides, vary)
    reports = run_cells(cells)
    quoted = [f"'{a}'" if any(c in a for c in "|[]* ") else a for a in sys.argv[1:]]
    each = "\n".join(
        f"- {c.label}: gap {r.gap.mean:.2f}, {r.verdict.word}" if r.gap else f"- {c.label}"
        for c, r in zip(cells, reports, strict=True)
    )
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    text = (
        f"```\ncu {' '.join(quoted)}\n```\n\n"
        f"{len(cells)} runs on {machine}; mean ± standard deviation over the runs.\n\n"
        f"{markdown(reports)}\n\n{each}\n"
    )
    print(text)
    if out is not None:
        write_text(out, text)
        console.print(f"written to {out}")
