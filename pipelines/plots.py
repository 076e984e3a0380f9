"""Plots of a report, as inline SVG by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cu_core.audit.report import AuditReport

matplotlib.rcParams |= {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "cu",
}
COLOURS = {"original": "#8a8f98", "unlearned": "#d1495b", "oracle": "#2e86ab"}
SETS = {"forget": "forget (train)", "holdout": "holdout", "retain": "retain (train)"}


def svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def accuracy_bars(report: AuditReport) -> str:
    """Accuracies and attack AUC of the three models, oracle spread as whiskers."""
    rows = [r for r in report.rows if r.in_gap]
    figure = Figure(figsize=(7.2, 3))
    axes = figure.subplots()
    places = np.arange(len(rows))
    for offset, role in enumerate(COLOURS):
        if role == "oracle":
            if not rows[0].oracles:
                continue
            values = [float(np.mean(r.oracles)) for r in rows]
            spread = [
                [v - min(r.oracles) for v, r in zip(values, rows, strict=True)],
                [max(r.oracles) - v for v, r in zip(values, rows, strict=True)],
            ]
        else:
            values, spread = [getattr(r, role) for r in rows], None
        bars = axes.bar(places + (offset - 1) * 0.27, values, 0.25, label=role, color=COLOURS[role], yerr=spread)
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
    axes.set_xticks(places, [r.title for r in rows], fontsize=8, rotation=12)
    axes.set_ylim(0, 112)
    axes.legend(ncols=3, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.15))
    return svg(figure)


def class_change(report: AuditReport) -> str:
    """Test accuracy of each class: change from the original, unlearned beside the oracle."""
    original = report.per_class["original"]
    figure = Figure(figsize=(7.2, 2.6))
    axes = figure.subplots()
    classes = sorted(original)[:40]
    roles = [("unlearned", -0.2, "unlearned"), ("oracle_0", 0.2, "oracle")]
    for role, shift, colour in roles:
        if role not in report.per_class:
            continue
        change = [report.per_class[role][c].value - original[c].value for c in classes]
        axes.bar(np.arange(len(classes)) + shift, change, 0.38, label=colour, color=COLOURS[colour])
    axes.axhline(0, color="#8a8f98", lw=0.8)
    axes.set_xticks(range(len(classes)), [report.class_names[c][:14] for c in classes], rotation=35, ha="right")
    axes.set_ylabel("change (points)")
    axes.legend(frameon=False)
    return svg(figure)


def loss_histograms(samples: pd.DataFrame) -> str:
    """Loss of forget, holdout and retain rows under each model; a model that has forgotten shows forget as holdout."""
    roles = [r for r in ("original", "unlearned", "oracle_0") if r in set(samples["role"])]
    figure = Figure(figsize=(7.2, 2.4))
    grid = figure.subplots(1, len(roles), sharey=True, squeeze=False)[0]
    losses = np.log10(samples["loss"].clip(lower=1e-6))
    bins = np.linspace(losses.min(), losses.max() + 1e-6, 31)
    forgotten = set(samples.loc[samples["set"] == "forget", "label"])
    for axes, role in zip(grid, roles, strict=True):
        for name, title in SETS.items():
            mask = (samples["role"] == role) & (samples["set"] == name)
            if name == "holdout":
                mask &= samples["label"].isin(forgotten)
            axes.hist(losses[mask], bins=bins, density=True, histtype="step", lw=1.5, label=title)
        axes.set_title(role.replace("_0", ""), fontsize=9)
        axes.set_xlabel("loss (log10)")
    grid[0].set_ylabel("share")
    grid[-1].legend(frameon=False, fontsize=7)
    return svg(figure)


def embedding_maps(samples: pd.DataFrame, report: AuditReport) -> str:
    """Test embeddings on a plane; the forgotten class in red crosses."""
    roles = [r for r in ("original", "unlearned", "oracle_0") if r in set(samples["role"])]
    figure = Figure(figsize=(7.2, 2.6))
    grid = figure.subplots(1, len(roles), squeeze=False)[0]
    for axes, role in zip(grid, roles, strict=True):
        rows = samples[(samples["role"] == role) & samples["x"].notna()]
        rest, gone = rows[rows["set"] != "forget_test"], rows[rows["set"] == "forget_test"]
        axes.scatter(rest["x"], rest["y"], c=rest["label"] % 20, cmap="tab20", s=4, alpha=0.6)
        axes.scatter(gone["x"], gone["y"], c=COLOURS["unlearned"], marker="x", s=10, lw=0.8)
        axes.set(xticks=[], yticks=[])
        axes.set_title(role.replace("_0", ""), fontsize=9)
    return svg(figure)


def stop_curve(stop: Mapping[str, Any]) -> str:
    """Stop-set accuracies over steps, with the moment the rule fired and the state that was kept."""
    history = pd.DataFrame(stop["history"])
    figure = Figure(figsize=(7.2, 2.4))
    axes = figure.subplots()
    axes.plot(history["step"], 100 * history["forget"], "o-", ms=3, color=COLOURS["unlearned"], label="forget")
    axes.fill_between(
        history["step"],
        100 * history["forget_low"],
        100 * history["forget_high"],
        alpha=0.2,
        color=COLOURS["unlearned"],
    )
    axes.plot(history["step"], 100 * history["utility"], "s-", ms=3, color=COLOURS["oracle"], label="unseen retain")
    axes.plot(history["step"], 100 * history["target"], "--", color="#8a8f98", label="target")
    for key, style in (("fired_at", ":"), ("kept_step", "-")):
        if stop.get(key) is not None:
            axes.axvline(stop[key], ls=style, color="black", lw=0.9, label=key.replace("_", " "))
    axes.set(xlabel="step", ylabel="accuracy (%)", ylim=(-3, 103))
    axes.legend(frameon=False, fontsize=7, ncols=5, loc="upper left", bbox_to_anchor=(0, 1.2))
    return svg(figure)


def loss_curves(curves: Mapping[str, list[tuple[int, float]]]) -> str:
    """Loss terms over steps."""
    figure = Figure(figsize=(7.2, 2.2))
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot([p[0] for p in points], [p[1] for p in points], lw=1.2, label=name.replace("_", " "))
    axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=7)
    return svg(figure)
