"""Plots of a report, as inline SVG by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cu_core.audit.report import AuditReport, Row
from pipelines.report.class_table import SHOWN, has_many, worst_classes

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


def bands(rows: Sequence[Row]) -> str:
    """Plot a line per metric: the tolerance, the oracles, the unlearned model and the original, in points."""
    figure = Figure(figsize=(7.2, 0.6 + 0.32 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        if row.oracles:
            mean = float(np.mean(row.oracles))
            if row.tolerance is not None:
                low, high = mean - row.tolerance, mean + row.tolerance
                axes.plot(
                    [max(low, -5), min(high, 105)],
                    [place] * 2,
                    color=COLOURS["oracle"],
                    lw=7,
                    alpha=0.25,
                    solid_capstyle="butt",
                )
            axes.plot(row.oracles, [place] * len(row.oracles), "|", ms=9, color=COLOURS["oracle"])
        axes.plot(row.original, place, "x", ms=6, color=COLOURS["original"])
        axes.plot(row.unlearned, place, "o", ms=5, color=COLOURS["unlearned"])
    axes.set_yticks(range(len(rows)), [row.title for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.03)
    axes.grid(axis="x", lw=0.4)
    return svg(figure)


def received(report: AuditReport) -> str:
    """Plot how the unseen rows of the forgotten class are distributed over the classes."""
    figure = Figure(figsize=(7.2, 2.4))
    axes = figure.subplots()
    oracles = [v for role, v in report.received.items() if role.startswith("oracle_")]
    shown = {"unlearned": report.received["unlearned"], "oracle": np.mean(oracles, axis=0) if oracles else None}
    classes = np.arange(len(report.class_names))[:SHOWN]
    if has_many(report):
        most = np.max([values for values in shown.values() if values is not None], axis=0)
        classes = np.sort(np.argsort(-most, kind="stable")[:SHOWN])
    places = np.arange(len(classes))
    for shift, (role, values) in zip((-0.2, 0.2), shown.items(), strict=True):
        if values is not None:
            axes.bar(places + shift, np.asarray(values)[classes], 0.38, label=role, color=COLOURS[role])
    _name_classes(axes, report, classes.tolist())
    axes.set_ylabel("rows (%)")
    axes.legend(frameon=False)
    return svg(figure)


def _name_classes(axes: Axes, report: AuditReport, classes: Sequence[int]) -> None:
    """Label the places of the x axis with class names; of many classes in letters that do not overlap."""
    small = {"fontsize": 6, "rotation": 90} if has_many(report) else {"rotation": 35, "ha": "right"}
    axes.set_xticks(range(len(classes)), [report.class_names[c][:14] for c in classes], **small)


def relearning(report: AuditReport) -> str:
    """Plot the accuracy over the steps of relearning, with a panel per number of rows."""
    figure = Figure(figsize=(7.2, 2.4))
    grid = figure.subplots(1, len(report.curves), sharey=True, squeeze=False)[0]
    for axes, (name, roles) in zip(grid, report.curves.items(), strict=True):
        for role, values in roles.items():
            kind = role.split("_")[0]
            label = kind if kind != "oracle" or role == "oracle_0" else None
            axes.plot(values, color=COLOURS.get(kind, "#c9ccd1"), lw=1 if kind == "oracle" else 1.6, label=label)
        axes.set_title(f"{name.removeprefix('relearn_')} rows", fontsize=9)
        axes.set_xlabel("step")
    grid[0].set(ylabel="accuracy (%)", ylim=(-3, 103))
    grid[-1].legend(frameon=False, fontsize=7)
    return svg(figure)


def class_change(report: AuditReport) -> str:
    """Plot the change of each class's test accuracy from the original, for the unlearned model and the oracle."""
    original = report.per_class["original"]
    figure = Figure(figsize=(7.2, 2.6))
    axes = figure.subplots()
    classes = worst_classes(report) if has_many(report) else sorted(original)[:SHOWN]
    roles = [("unlearned", -0.2, "unlearned"), ("oracle_0", 0.2, "oracle")]
    for role, shift, colour in roles:
        if role not in report.per_class:
            continue
        change = [report.per_class[role][c].value - original[c].value for c in classes]
        axes.bar(np.arange(len(classes)) + shift, change, 0.38, label=colour, color=COLOURS[colour])
    axes.axhline(0, color="#8a8f98", lw=0.8)
    _name_classes(axes, report, classes)
    axes.set_ylabel("change (points)")
    axes.legend(frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, 1.2))
    return svg(figure)


def loss_histograms(samples: pd.DataFrame) -> str:
    """Plot the losses of forget, holdout and retain rows of each model. After forgetting, forget equals holdout."""
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
    grid[0].set_ylabel("density")
    grid[-1].legend(frameon=False, fontsize=7)
    return svg(figure)


def cosine_histograms(samples: pd.DataFrame) -> str:
    """Plot the cosines of forgotten images with their own and with retained captions, for each model."""
    roles = [r for r in ("original", "unlearned", "oracle_0") if r in set(samples["role"])]
    figure = Figure(figsize=(7.2, 2.4))
    grid = figure.subplots(1, len(roles), sharey=True, sharex=True, squeeze=False)[0]
    unseen = "forget_test" if "forget_test" in set(samples["set"]) else "forget"
    for axes, role in zip(grid, roles, strict=True):
        rows = samples[(samples["role"] == role) & (samples["set"] == unseen)]
        kept = samples[(samples["role"] == role) & (samples["set"] == "test")]
        for values, title in (
            (rows["matched"], "forgotten, own caption"),
            (rows["unmatched"], "forgotten, others'"),
            (kept["matched"], "retained, own caption"),
        ):
            axes.hist(values, bins=np.linspace(-1, 1, 41), density=True, histtype="step", lw=1.5, label=title)
        axes.set_title(role.replace("_0", ""), fontsize=9)
        axes.set_xlabel("cosine")
    grid[0].set_ylabel("density")
    grid[-1].legend(frameon=False, fontsize=6)
    return svg(figure)


def search_results(samples: pd.DataFrame) -> str:
    """Show the first test images that the prompts of the forgotten class find, with a row per model."""
    roles = [r for r in ("original", "unlearned", "oracle_0") if r in set(samples["role"])]
    found = samples[samples["picture"].notna()].sort_values("place")
    count = int(found.groupby("role").size().max())
    figure = Figure(figsize=(7.2, 0.95 * len(roles)))
    grid = figure.subplots(len(roles), count, squeeze=False)
    for line, role in zip(grid, roles, strict=True):
        shown = found[found["role"] == role].itertuples()
        for axes in line:
            axes.set(xticks=[], yticks=[])
        for axes, row in zip(line, shown, strict=False):
            axes.imshow(np.asarray(Image.open(io.BytesIO(row.picture))), cmap="gray")
            colour = COLOURS["unlearned"] if row.set == "forget_test" else COLOURS["original"]
            for side in axes.spines.values():
                side.set(visible=True, color=colour, linewidth=2)
        line[0].set_ylabel(role.replace("_0", ""), fontsize=8)
    return svg(figure)


def embedding_maps(samples: pd.DataFrame, report: AuditReport) -> str:
    """Plot test embeddings in the plane, with red crosses for the forgotten class."""
    roles = [r for r in ("original", "unlearned", "oracle_0") if r in set(samples["role"])]
    figure = Figure(figsize=(7.2, 2.6))
    grid = figure.subplots(1, len(roles), squeeze=False)[0]
    for axes, role in zip(grid, roles, strict=True):
        rows = samples[(samples["role"] == role) & samples["x"].notna()]
        rest, gone = rows[rows["set"] == "test"], rows[rows["set"] == "forget_test"]
        axes.scatter(rest["x"], rest["y"], c=rest["label"] % 20, cmap="tab20", s=4, alpha=0.6)
        axes.scatter(gone["x"], gone["y"], c=COLOURS["unlearned"], marker="x", s=10, lw=0.8)
        prompts = rows[rows["set"] == "prompt"]
        axes.scatter(prompts["x"], prompts["y"], c="white", edgecolors="black", marker="*", s=45, lw=0.8)
        for row in prompts.itertuples():
            axes.annotate(report.class_names[int(row.label)][:14], (row.x, row.y), fontsize=6)
        axes.set(xticks=[], yticks=[])
        axes.set_title(role.replace("_0", ""), fontsize=9)
    return svg(figure)


def stop_curve(stop: Mapping[str, Any]) -> str:
    """Plot the accuracies on the stop set over steps, with the step at which the rule fired and the kept state."""
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
    """Plot loss terms over steps."""
    figure = Figure(figsize=(7.2, 2.2))
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot([p[0] for p in points], [p[1] for p in points], lw=1.2, label=name.replace("_", " "))
    axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=7)
    return svg(figure)
