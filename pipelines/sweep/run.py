"""``cu sweep``: Ray Tune searches settings on the stop set. Then the winner runs on fresh seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import ray
from pydantic import TypeAdapter

from cu_core.audit.proxy import proxy_score
from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import dump_config
from cu_core.errors import ConfigError
from cu_core.files import digest_of, write_text
from cu_core.run_audit import run_proxy
from cu_core.storage import fetched, shown
from cu_core.stored import read_stored
from cu_core.yaml_io import merge
from pipelines.cluster.session import ray_session
from pipelines.console import console, counted
from pipelines.grid.cells import Cell, Failure, run_cells
from pipelines.grid.nested_runs import Recorder
from pipelines.report.provenance import command_line, resumed
from pipelines.run.folder import check_name, names_in
from pipelines.run.plan import make_plan
from pipelines.run.record import register
from pipelines.run.task_options import device_of, ray_task, task_options
from pipelines.run.training import train_missing
from pipelines.sweep.board import Board
from pipelines.sweep.objective import PARETO, pareto_front, recommended
from pipelines.sweep.page import write_page
from pipelines.sweep.ray_tune import TrialResult, run_trials
from pipelines.sweep.result import DEFAULT, WINNER, SweepResult
from pipelines.sweep.space import Sweep
from pipelines.sweep.trial import trial_cell
from pipelines.tracking.mlflow_runs import check_tracking

RECORD = TypeAdapter(dict[Literal["digest"], str])


def run_sweep(sweep: Sweep, name: str, resume: bool) -> SweepResult:
    """Train missing models, search, and run the winner on fresh seeds. Everything is recorded in MLflow.

    Raises: ConfigError if the name is in use, if there is nothing to resume, or if no trial finished.
    """
    plan = make_plan(sweep.trial_config(sweep.first))
    config = plan.config
    sweep = replace(sweep, base=_absolute(sweep, config))
    if not resume:
        check_name(name)
    folder = config.store / "sweeps" / name
    digest = digest_of([sweep.base, asdict(sweep.config), sweep.calibrate])
    _check_folder(folder, digest, resume)
    check_tracking(config)
    with ray_session(config):
        write_text(folder / "sweep.json", json.dumps({"digest": digest}))
        recorder = Recorder(config, f"sweep {name}", asdict(sweep.config), f"{name} {digest}")
        status = "FAILED"
        try:
            train_missing(plan.workspace, plan.missing, local=False)
            console.print(f"sweep {name}: {counted(sweep.config.count, 'trial')}, {sweep.config.objective} minimised")
            with Board(sweep, recorder) as board:
                trials = run_trials(sweep, folder, board)
                if board.interrupted:
                    raise KeyboardInterrupt
            _record(recorder, sweep, trials)
            swept, cell = _finish(sweep, name, trials, folder)
            write_page(swept)
            if isinstance(cell.outcome, AuditReport):
                tags = {"sweep": name, "better_than_base": str(swept.better)}
                register(cell.plan, recorder.parent, "swept", cell.folder / "unlearned", tags)
            recorder.finish("FINISHED", folder, {f"reported/{k}": float(np.mean(v)) for k, v in swept.again.items()})
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            console.print(f"\ncontinue with: {resumed(command_line(), name)}", soft_wrap=True, highlight=False)
            raise
        finally:
            if status != "FINISHED":
                recorder.finish(status)
    return swept


def _absolute(sweep: Sweep, config: RunConfig) -> dict[str, Any]:
    """Return the base with absolute paths, because trials run in other folders."""
    model = {name: getattr(config.model, name) for name in ("name", "start", "weights")}
    paths = {"storage": config.storage, "data": {"path": config.data.path}, "model": model}
    return merge(sweep.base, paths | {"audit": {"other_data": list(config.audit.other_data)}})


def _check_folder(folder: Path, digest: str, resume: bool) -> None:
    record = folder / "sweep.json"
    if not resume:
        if folder.exists() or fetched(record):
            raise ConfigError(
                f"a sweep {folder.name!r} exists; --resume {folder.name} goes on with it, --name names another."
            )
        return
    if not fetched(record):
        raise ConfigError(
            f"--resume {folder.name}: no such sweep in {folder.parent}; sweeps there: {names_in(folder.parent)}."
        )
    if read_stored(record, RECORD, "move its folder away")["digest"] != digest:
        raise ConfigError(f"--resume {folder.name}: that sweep has other settings; use its file, or name a new one.")


def _record(recorder: Recorder, sweep: Sweep, trials: Sequence[TrialResult]) -> None:
    """Record the trials that the board did not record: those that were ended early or failed."""
    for trial in trials:
        cell = trial_cell(sweep, trial.drawn)
        if trial.state == "finished":
            recorder(cell)
        else:
            status = "KILLED" if trial.state == "stopped" else "FAILED"
            recorder.add(cell, Failure(f"{trial.state}: {trial.reason}"), status)


def _finish(sweep: Sweep, name: str, trials: list[TrialResult], folder: Path) -> tuple[SweepResult, Cell]:
    """Return the result, and the winner's first cell that did not diverge, or else its first cell."""
    done = [t for t in trials if t.state == "finished"]
    if not done:
        reasons = "; ".join(dict.fromkeys(t.reason for t in trials))
        raise ConfigError(f"no trial finished: {reasons}")
    if sweep.config.objective == "pareto":
        rows = [[t.found[name] for name in PARETO] for t in done]
        winner, front = done[recommended(rows)], [done[i] for i in pareto_front(rows)]
    else:
        winner = min(done, key=lambda t: t.found["objective"])
        front = [winner]
    console.print("the winner and the settings of base on fresh seeds")
    cells = {label: [Cell(f"{label} seed {c.seed}", make_plan(c)) for c in sweep.reported_configs(drawn)]
             for label, drawn in ((DEFAULT, {}), (WINNER, winner.drawn))}  # fmt: skip
    run_cells([cell for both in cells.values() for cell in both])
    again = {label: ray.get([_reported(cell) for cell in own]) for label, own in cells.items()}
    config = replace(cells[WINNER][0].plan.config, name=None)
    write_text(folder / "winner.yaml", f"# cu unlearn {shown(folder / 'winner.yaml')}\n{dump_config(config)}")
    figure = "gap" if config.audit.oracles else "proxy"
    return SweepResult(sweep, name, trials, winner, front, again, figure, folder), next(
        (c for c in cells[WINNER] if isinstance(c.outcome, AuditReport)), cells[WINNER][0]
    )


def _reported(cell: Cell) -> Any:
    """Return a Ray reference to the figure on rows that the search did not use. Infinite if the run diverged."""
    outcome = cell.outcome
    if not isinstance(outcome, AuditReport):
        return ray.put(float("inf"))
    if outcome.gap is not None:
        return ray.put(outcome.gap.mean)
    return _proxy_task.options(**task_options(cell.plan.config)).remote(cell)


@ray_task
def _proxy_task(cell: Cell) -> float:
    plan, unlearned = cell.plan, cell.folder / "unlearned"
    device = device_of(plan.config)
    return proxy_score(run_proxy(plan.workspace, plan.original.folder, unlearned, device))
