"""Progress of a sweep: a table in the terminal, and a nested MLflow run per finished trial."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.live import Live
from rich.table import Table

from pipelines.console import console
from pipelines.grid.nested_runs import Recorder
from pipelines.sweep.objective import objectives
from pipelines.sweep.space import Sweep
from pipelines.sweep.trial import trial_cell

ENDS = ("finished", "stopped early", "failed")
_now: list[Board] = []


def _of_this_process() -> Board:
    return _now[-1]


class Board(Callback):
    """Context manager that shows the trials.

    Ray Tune stores the callback with the experiment. After a restore, it is the board of the new process.
    """

    def __init__(self, sweep: Sweep, recorder: Recorder):
        self.sweep, self.recorder = sweep, recorder
        self.states: list[str] = []
        self.best: Trial | None = None
        self.live = Live(console=console, get_renderable=self._table, refresh_per_second=2)

    def __reduce__(self) -> Any:
        return _of_this_process, ()

    def __enter__(self) -> Board:
        _now.append(self)
        self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.__exit__(kind, error, trace)
        _now.remove(self)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.states = [_state(trial) for trial in trials]
        done = [t for t in trials if t.last_result.get("finished")]
        self.best = min(done, key=lambda t: t.last_result["objective"], default=None)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self.states = [_state(trial) for trial in trials]

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if trial.last_result.get("finished"):
            self.recorder(trial_cell(self.sweep, trial.config))

    @property
    def interrupted(self) -> bool:
        """Whether trials are left. Ray Tune ends on Ctrl-C without an error."""
        return sum(state in ENDS for state in self.states) < self.sweep.config.count

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for state in ("running", *ENDS):
            table.add_row(state, str(self.states.count(state)))
        left = self.sweep.config.count - sum(state in ("running", *ENDS) for state in self.states)
        table.add_row("to come", str(left))
        if self.best is not None:
            values = self.best.config.items()
            drawn = "  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values)
            table.add_row(
                f"best {objectives(self.sweep.config.objective)[0]} so far",
                f"{self.best.last_result['objective']:.3f}  {drawn}",
            )
        return table


def _state(trial: Trial) -> str:
    if trial.status == Trial.TERMINATED:  # also on Ctrl-C, where no scheduler set "done"
        result = trial.last_result
        return "finished" if result.get("finished") else "stopped early" if result.get("done") else "to come"
    return {Trial.ERROR: "failed", Trial.RUNNING: "running"}.get(trial.status, "to come")
