"""The audit as one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml
from jinja2 import Environment, PackageLoader, select_autoescape

from cu_core.audit.explain import EXPLANATIONS
from cu_core.audit.report import AuditReport
from cu_core.audit.table import AUDITS, METRICS
from cu_core.files import write_text
from pipelines.report import plots
from pipelines.report.class_table import SHOWN as SHOWN_CLASSES
from pipelines.report.class_table import class_rows, has_many
from pipelines.report.searches import searches
from pipelines.report.terminal import limits_line

PLAIN_WORDS = {
    "indistinguishable": "These audits find no difference from a model that never saw the data.",
    "under-forgotten": "The model still knows something of the data that a retrained model does not know.",
    "over-forgotten": "More was removed or damaged than in a retrained model.",
    "inconclusive": "These figures cannot show whether the data was forgotten.",
}

PICTURED = 200_000
"""Most rows of the table of samples in pictures."""
SHOWN = {"x", "picture", "search"}
"""Columns that only rows of a map or of a search fill."""
BAND_CAPTION = (
    "Pale bar: the tolerance, which is the prediction interval of one more retrained model or the margin, whichever is "
    "wider (no bar: not judged). Blue ticks: the oracles. Red dot: the unlearned model. Grey cross: the original."
)


def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("pipelines.report"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return made


def write_report(
    target: Path,
    report: AuditReport,
    samples_file: Path,
    title: str,
    curves: dict[str, list[tuple[int, float]]] | None = None,
) -> None:
    """Write the HTML page of ``report`` and of the per-sample table."""
    rows = {name: [row for row in report.rows if row.audit == name] for name in AUDITS}
    samples = read_samples(samples_file)
    html = (
        environment()
        .get_template("report.html.jinja")
        .render(
            title=title,
            report=report,
            plain=PLAIN_WORDS[report.verdict.word],
            audits=AUDITS,
            metrics=METRICS,
            rows=rows,
            explanations=EXPLANATIONS,
            classes=class_rows(report) if has_many(report) else [],
            shown=SHOWN_CLASSES,
            num_oracles=max((len(row.oracles) for row in report.rows), default=0),
            pictures=_pictures(report, samples, curves or {}),
            searches=searches(samples),
            limits=limits_line(report),
            settings=yaml.safe_dump(dict(report.settings), sort_keys=False),
        )
    )
    write_text(target, html)


def read_samples(file: Path) -> pd.DataFrame:
    """Read the per-sample table; of more than ``PICTURED`` rows, evenly spaced ones and those of maps and searches."""
    stored = pq.ParquetFile(file)
    step = -(-stored.metadata.num_rows // PICTURED)
    if step <= 1:
        return pd.read_parquet(file)
    parts, first = [], 0
    for batch in stored.iter_batches():
        rows = batch.to_pandas()
        spaced = np.arange(first, first + len(rows)) % step == 0
        parts.append(rows[spaced | rows[[*SHOWN & {*rows.columns}]].notna().any(axis=1).to_numpy()])
        first += len(rows)
    return pd.concat(parts, ignore_index=True)


def _pictures(
    report: AuditReport, samples: pd.DataFrame, curves: dict[str, list[tuple[int, float]]]
) -> dict[str, list[tuple[str, str]]]:
    """Return caption and SVG of the plots, by audit, and under ``course`` for the run."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in (*AUDITS, "course")}
    for name in AUDITS:
        if rows := [row for row in report.rows if row.audit == name and not row.name.endswith("_steps")]:
            found[name].append((BAND_CAPTION, plots.bands(rows)))
    caption = "Test accuracy minus the original's. Retained classes should change as they do for the oracle."
    if has_many(report):
        caption += f" Only the {SHOWN_CLASSES} classes that differ most are shown."
    found["accuracy"].append((caption, plots.class_change(report)))
    found["membership"].append(
        (
            "Holdout rows of the same classes were never trained on. If forget rows have the same losses, an attack on "
            "the loss learns nothing.",
            plots.loss_histograms(samples),
        )
    )
    if report.received:
        caption = "Percent of the unseen rows of the forgotten class that are assigned to each class."
        if has_many(report):
            caption += f" Only the {SHOWN_CLASSES} classes that get most are shown."
        found["neighbours"].append((caption, plots.received(report)))
    if found["representation"]:
        stars = "; stars are prompts of classes" if "matched" in samples else ""
        caption = f"t-SNE of the features, coloured by class. Crosses are test rows of the forgotten class{stars}."
        found["representation"].append((caption, plots.embedding_maps(samples, report)))
    if "matched" in samples:
        caption = "Cosine of unseen forgotten images (sample requests: forget rows) with captions."
        found["retrieval"].append((caption, plots.cosine_histograms(samples)))
    if "picture" in samples and samples["picture"].notna().any():
        caption = "Test images nearest to the forgotten class's prompts, nearest first. Red: images of this class."
        found["retrieval"].append((caption, plots.search_results(samples)))
    _add_courses(found, report, curves)
    return found


def _add_courses(
    found: dict[str, list[tuple[str, str]]], report: AuditReport, curves: dict[str, list[tuple[int, float]]]
) -> None:
    if report.curves:
        found["relearning"].append(("Accuracy while a few forget rows are learned again.", plots.relearning(report)))
    if report.stop.get("history"):
        caption = (
            "Accuracy on the stop set, which is not in the figures above. The rule fires when the forget accuracy "
            "(pink: its 95% interval) falls to the target. Then further steps follow, so that the class does not come "
            "back."
        )
        found["course"].append((caption, plots.stop_curve(report.stop)))
    if curves:
        found["course"].append(("Loss terms of the run over its steps.", plots.loss_curves(curves)))
