"""A finished sweep as HTML and CSV, with Optuna's plots."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import optuna
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState, create_trial
from optuna.visualization import matplotlib as draw

from cu_core.files import write_text
from pipelines.console import counted
from pipelines.grid.ranges import distribution, plain_choice
from pipelines.report.audit_page import environment
from pipelines.report.plots import svg
from pipelines.report.provenance import command_line, from_nothing, machine
from pipelines.sweep.objective import objectives
from pipelines.sweep.ray_tune import TrialResult
from pipelines.sweep.result import DEFAULT, WINNER, SweepResult

LABELS = {
    "forgetting": "forgetting, distance to the goal (points)",
    "utility": "utility lost (points)",
    "cost": "cost (rows forwarded)",
}
ENOUGH = 10
"""Number of finished trials from which importances are meaningful."""
STATES = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


def study_of(swept: SweepResult) -> optuna.Study:
    """Return the trials as an Optuna study, for any search algorithm."""
    names, space = objectives(swept.sweep.config.objective), swept.sweep.space
    last = [key.split(".")[-1] for key in space]
    short = {key: word if last.count(word) == 1 else key for key, word in zip(space, last, strict=True)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize"] * len(names))
    for trial in swept.trials:
        study.add_trial(
            create_trial(
                state=STATES[trial.state],
                values=[trial.found[n] for n in names] if trial.state == "finished" else None,
                params={short[k]: plain_choice(v) for k, v in trial.drawn.items()},
                distributions={short[key]: distribution(drawn) for key, drawn in space.items()},
                intermediate_values={round(share): early for share, early in trial.looks},
            )
        )
    return study


def _picture(plot: Callable[..., Any], *given: Any, **named: Any) -> str:
    """Return the SVG of one of Optuna's plots, which are experimental and draw into pyplot."""
    with warnings.catch_warnings(), plt.style.context("default"):
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        plot(*given, **named)
        figure: Figure = plt.gcf()
        figure.set_size_inches(11, 4.5)
        for axes in figure.axes:
            axes.set_facecolor("white")
            for line in [*axes.get_xgridlines(), *axes.get_ygridlines()]:
                line.set_color("#dde1e6")
            axes.tick_params(labelsize=8, which="both")
            axes.set_xlabel(axes.get_xlabel(), fontsize=9)
            for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
                axis.set_minor_formatter(NullFormatter())  # they overlap on narrow logarithmic axes
                if scale == "log":
                    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
            for marks in axes.collections:
                if marks.get_array() is not None:  # Optuna's blues end in white
                    marks.set_cmap("viridis")
            for label in axes.get_yticklabels():  # lines of other settings are behind the labels
                label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})
        drawn = svg(figure)
        plt.close("all")
    return drawn


def _front(swept: SweepResult) -> tuple[str, str]:
    """Caption and SVG of the Pareto front."""
    finished = [t for t in swept.trials if t.state == "finished"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, (x, y) in zip(figure.subplots(1, 2), (("forgetting", "utility"), ("forgetting", "cost")), strict=True):
        axes.scatter([t.found[x] for t in finished], [t.found[y] for t in finished], color="#9aa0a6")
        axes.scatter([t.found[x] for t in swept.front], [t.found[y] for t in swept.front], color="#d6336c")
        axes.scatter(swept.winner.found[x], swept.winner.found[y], marker="*", s=160, color="#d6336c")
        axes.set(xlabel=LABELS[x], ylabel=LABELS[y])
    return (
        "Pink: the Pareto front; no other trial is better in one figure without being worse in another. Star: the "
        "recommended trial, which is the point of the front nearest to the best value of each figure, scaled to the "
        "ranges of the front.",
        svg(figure),
    )


def pictures(swept: SweepResult) -> list[tuple[str, str]]:
    """Caption and SVG."""
    study, names = study_of(swept), objectives(swept.sweep.config.objective)
    found = [_front(swept)] if len(names) > 1 else []
    finished = [t for t in swept.trials if t.state == "finished"]
    for place, name in enumerate(names):
        named = (
            {"target": lambda t, i=place: t.values[i], "target_name": LABELS[name]}
            if len(names) > 1
            else {"target_name": name}
        )
        label = LABELS.get(name, name)
        found.append((f"Each line is a finished trial with its settings. Dark lines: low {label}, which is best.",
                      _picture(draw.plot_parallel_coordinate, study, **named)))  # fmt: skip
        found.append((f"{label} against each setting.", _picture(draw.plot_slice, study, **named)))
        if len(finished) > 3 and len({t.found[name] for t in finished}) > 1:
            few = "; with so few trials, this is uncertain" if len(finished) < ENOUGH else ""
            found.append((f"Importance: the part of the differences in {label} that each setting explains, from "
                          f"{len(finished)} finished trials (fANOVA){few}.",
                          _picture(draw.plot_param_importances, study, evaluator=FanovaImportanceEvaluator(seed=0),
                                   **named)))  # fmt: skip
    if len(names) == 1 and any(t.looks for t in swept.trials):
        found.append(("Checks on the stop set over the steps (in percent): missing forgetting and missing accuracy, in "
                      "points. Trials whose lines end were ended early.",
                      _picture(draw.plot_intermediate_values, study)))  # fmt: skip
    return found


def trial_frame(trials: list[TrialResult]) -> pd.DataFrame:
    """Make a table with a row per trial: state, reason, begin and end (seconds since 1970), settings, figures."""
    return pd.DataFrame(
        [{"trial": t.number, "state": t.state, "reason": t.reason, "begin": t.times[0], "end": t.times[1],
          **t.drawn, **t.found} for t in trials]
    )  # fmt: skip


def _clear(swept: SweepResult) -> bool:
    """Return whether winner and base differ by more than the spread of their difference over seeds.

    A run that diverged has an infinite figure, which is a difference, unless both diverged.
    """
    apart = (pd.Series(swept.again[DEFAULT]) - pd.Series(swept.again[WINNER])).fillna(0)
    return len(apart) > 1 and not abs(apart.mean()) < apart.std()


def _spread(figures: pd.Series) -> str:
    """Format the standard deviation, which figures of runs that diverged and of one run do not have."""
    return f" ± {figures.std():.2f}" if len(figures) > 1 and math.isfinite(figures.mean()) else ""


def conclusion(swept: SweepResult) -> str:
    """Describe the result of the search in a sentence."""
    series = {name: pd.Series(values) for name, values in swept.again.items()}
    told = {n: f"{s.mean():.2f}" + _spread(s) for n, s in series.items()}
    figure = "mean gap to the oracle" if swept.figure == "gap" else "proxy"
    count = len(series[WINNER])
    runs = f"on {counted(count, 'run')} that the search did not use"
    chance = "" if count == 1 or _clear(swept) else " The difference is smaller than its spread."
    if swept.better:
        return f"The winner has a {figure} of {told[WINNER]}, the settings of base {told[DEFAULT]}, {runs}.{chance}"
    return f"The settings of base stay: {figure} {told[DEFAULT]}, the winner's {told[WINNER]}, {runs}.{chance}"


def write_page(swept: SweepResult) -> None:
    """Write ``trials.csv`` and ``report.html``."""
    frame = trial_frame(swept.trials)
    write_text(swept.folder / "trials.csv", frame.to_csv(index=False))
    page = environment().get_template("sweep.html.jinja")
    shown = frame.drop(columns=["begin", "end"]).sort_values("objective", na_position="last")
    html = page.render(
        name=swept.name,
        command=from_nothing(command_line()),
        machine=machine(),
        config=swept.sweep.config,
        conclusion=conclusion(swept),
        clear=_clear(swept),
        winner=" ".join(f"{key}={_shown(value)}" for key, value in swept.winner.drawn.items()),
        number=swept.winner.number,
        correlation=swept.rank_correlation,
        counts=frame["state"].value_counts().to_dict(),
        columns=list(shown.columns),
        rows=[[_shown(v) for v in row] for row in shown.itertuples(index=False)],
        pictures=pictures(swept),
    )
    write_text(swept.folder / "report.html", html)


def _shown(value: object) -> str:
    return ("" if value != value else f"{value:.4g}") if isinstance(value, float) else str(value)
