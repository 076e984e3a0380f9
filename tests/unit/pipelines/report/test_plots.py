"""Plots: what is drawn, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cu_core.config_io import config_from
from cu_core.types import MetricResult
from pipelines.report import plots
from pipelines.report.plots import COLOURS
from tests.unit.pipelines.reports import report


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plot returns its figure."""
    monkeypatch.setattr(plots, "svg", lambda figure: figure)


def lines(axes: Any) -> dict[str, list[list[float]]]:
    return {line.get_label(): [list(line.get_xdata()), list(line.get_ydata())] for line in axes.lines}


def test_a_picture_is_text_and_the_same_every_time() -> None:
    one, two = (plots.loss_curves({"total_loss": [(1, 2.0), (2, 1.0)]}) for _ in range(2))
    assert one == two
    assert one.startswith("<svg")
    assert "total loss" in one
    assert "<dc:date>" not in one


@pytest.mark.usefixtures("figures")
def test_loss_terms_are_drawn_over_steps() -> None:
    figure: Any = plots.loss_curves({"total_loss": [(1, 2.0), (5, 1.0)]})
    assert lines(figure.axes[0]) == {"total loss": [[1, 5], [2.0, 1.0]]}


@pytest.mark.usefixtures("figures")
def test_a_band_lies_around_the_mean_of_the_oracles() -> None:
    row = replace(report(config_from({})).rows[0], oracles=(40.0, 50.0), tolerance=10.0, original=90.0, unlearned=60.0)
    rows = [row, replace(row, tolerance=80.0), replace(row, tolerance=None), replace(row, oracles=(), tolerance=None)]
    figure: Any = plots.bands(rows)
    drawn = [(list(line.get_xdata()), list(line.get_ydata()), line.get_color()) for line in figure.axes[0].lines]
    bands = [(x, y) for x, y, colour in drawn if colour == COLOURS["oracle"]]
    assert bands == [
        ([35.0, 55.0], [0, 0]), ([40.0, 50.0], [0, 0]), ([-5, 105], [1, 1]), ([40.0, 50.0], [1, 1]),
        ([40.0, 50.0], [2, 2]),
    ]  # fmt: skip
    assert [(x, y) for x, y, colour in drawn if colour == COLOURS["unlearned"]] == [([60.0], [n]) for n in range(4)]
    assert [(x, y) for x, y, colour in drawn if colour == COLOURS["original"]] == [([90.0], [n]) for n in range(4)]


@pytest.mark.usefixtures("figures")
def test_received_rows_are_beside_the_mean_of_the_oracles() -> None:
    shares = {"original": [9.0, 9.0], "unlearned": [80.0, 20.0], "oracle_0": [10.0, 90.0], "oracle_1": [30.0, 70.0]}
    made = replace(report(config_from({})), class_names=("a", "b"), received=shares)
    bars = {c.get_label(): [bar.get_height() for bar in c] for c in plots.received(made).axes[0].containers}  # type: ignore[attr-defined]
    assert bars == {"unlearned": [80.0, 20.0], "oracle": [20.0, 80.0]}
    alone = replace(made, received={"unlearned": [80.0, 20.0]})
    assert len(plots.received(alone).axes[0].containers) == 1  # type: ignore[attr-defined]


@pytest.mark.usefixtures("figures")
def test_a_class_changes_from_the_original() -> None:
    values = {"original": {3: 90.0, 1: 80.0}, "unlearned": {1: 85.0, 3: 10.0}}
    per_class = {role: {c: MetricResult(v, 1) for c, v in found.items()} for role, found in values.items()}
    made = replace(report(config_from({})), class_names=("a", "b", "c", "d"), per_class=per_class)
    axes = plots.class_change(made).axes[0]  # type: ignore[attr-defined]
    assert [[bar.get_height() for bar in container] for container in axes.containers] == [[5.0, -80.0]]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["b", "d"]


@pytest.mark.usefixtures("figures")
def test_oracles_have_one_entry_in_the_legend_of_relearning() -> None:
    roles = {"unlearned": [0.0, 50.0], "oracle_0": [0.0, 40.0], "oracle_1": [0.0, 30.0]}
    figure: Any = plots.relearning(replace(report(config_from({})), curves={"relearn_5": roles, "relearn_50": roles}))
    assert [axes.get_title() for axes in figure.axes] == ["5 rows", "50 rows"]
    legend = figure.axes[-1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["unlearned", "oracle"]
    assert len(figure.axes[0].lines) == 3


@pytest.mark.usefixtures("figures")
def test_losses_of_holdout_rows_are_those_of_the_forgotten_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = pd.DataFrame(
        [("original", "forget", 5, 0.01), ("original", "holdout", 5, 1.0), ("original", "holdout", 4, 100.0),
         ("original", "retain", 4, 0.0), ("oracle_1", "forget", 5, 1.0)],
        columns=["role", "set", "label", "loss"],
    )  # fmt: skip
    from matplotlib.axes import Axes

    seen: dict[str, list[float]] = {}
    monkeypatch.setattr(Axes, "hist", lambda self, values, label, **given: seen.update({label: list(values)}))
    figure: Any = plots.loss_histograms(samples)
    assert seen == {"forget (train)": [-2.0], "holdout": [0.0], "retain (train)": [-6.0]}
    assert [axes.get_title() for axes in figure.axes] == ["original"]


@pytest.mark.usefixtures("figures")
def test_the_stop_rule_is_marked_also_at_step_0() -> None:
    check = {"forget_low": 0.1, "forget_high": 0.3, "target": 0.1}
    history = [
        {"step": 0, "forget": 0.9, "utility": 1.0, **check},
        {"step": 10, "forget": 0.2, "utility": 0.5, **check},
    ]
    drawn = lines(plots.stop_curve({"history": history, "fired_at": 0, "kept_step": None}).axes[0])  # type: ignore[attr-defined]
    assert drawn["forget"] == [[0, 10], [90.0, 20.0]]
    assert drawn["unseen retain"] == [[0, 10], [100.0, 50.0]]
    assert drawn["target"] == [[0, 10], [10.0, 10.0]]
    assert drawn["fired at"][0] == [0, 0]
    assert "kept step" not in drawn


@pytest.mark.usefixtures("figures")
def test_a_map_has_the_forgotten_class_and_prompts_on_it() -> None:
    rows = [("test", 1, 0.0, 1.0), ("test", 2, np.nan, np.nan), ("forget_test", 0, 2.0, 3.0), ("prompt", 0, 4.0, 5.0)]
    samples = pd.DataFrame(rows, columns=["set", "label", "x", "y"]).assign(role="unlearned")
    figure: Any = plots.embedding_maps(samples, replace(report(config_from({})), class_names=("cat", "dog", "cow")))
    assert isinstance(figure, Figure)
    points = [np.asarray(marks.get_offsets()).tolist() for marks in figure.axes[0].collections]
    assert points == [[[0.0, 1.0]], [[2.0, 3.0]], [[4.0, 5.0]]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["cat"]
