"""The audit as one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, select_autoescape

from cu_core.audit.report import AuditReport
from cu_core.files import write_text
from pipelines import plots

PLAIN_WORDS = {
    "indistinguishable": "On every figure below, the model answers like one that never saw the data.",
    "under-forgotten": "Something of the data is still there that a retrained model does not have.",
    "over-forgotten": "More was removed or damaged than a retrained model would show.",
    "inconclusive": "These figures cannot tell whether the data was forgotten.",
}


def environment() -> Environment:
    return Environment(
        loader=PackageLoader("pipelines"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_report(
    target: Path,
    report: AuditReport,
    samples_file: Path,
    title: str,
    curves: dict[str, list[tuple[int, float]]] | None = None,
) -> None:
    """Render ``report`` and the per-sample table."""
    samples = pd.read_parquet(samples_file)
    pictures = {
        "Accuracy and membership attack": plots.accuracy_bars(report),
        "Change of each class": plots.class_change(report),
        "Loss of forget, holdout and retain rows": plots.loss_histograms(samples),
        "Test embeddings": plots.embedding_maps(samples, report),
    }
    if report.stop.get("history"):
        pictures["Stop set over steps"] = plots.stop_curve(report.stop)
    if curves:
        pictures["Loss terms over steps"] = plots.loss_curves(curves)
    html = (
        environment()
        .get_template("report.html.jinja")
        .render(
            title=title,
            report=report,
            plain=PLAIN_WORDS[report.verdict.word],
            pictures=pictures,
            settings=yaml.safe_dump(dict(report.settings), sort_keys=False),
            captions=CAPTIONS,
        )
    )
    write_text(target, html)


CAPTIONS = {
    "Accuracy and membership attack": "The unlearned model should stand level with the oracle, in both directions.",
    "Change of each class": "Test accuracy minus the original's; retained classes should move as the oracle's do.",
    "Loss of forget, holdout and retain rows": "Holdout rows of the same classes were never trained on. Where forget "
    "rows have the same losses, an attack on the loss learns nothing.",
    "Test embeddings": "t-SNE of the features; crosses are test rows of the forgotten class.",
    "Stop set over steps": "Rows that decided when to stop; none of them is in the figures above.",
    "Loss terms over steps": "As the run recorded them.",
}
