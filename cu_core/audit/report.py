"""The audit as data: every figure of every model, side by side, and a record per sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cu_core.audit.limits import Limits
from cu_core.audit.more_audits import MISSING
from cu_core.audit.oracle_gap import Band, Figures, OracleGap, difference, oracle_gap
from cu_core.audit.pair_samples import pair_columns
from cu_core.audit.searches import search_rows
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import AUDITS, METRICS, metrics_of
from cu_core.audit.verdict import Others, Rule, Verdict, judge
from cu_core.data.forget_split import MANY_CLASSES
from cu_core.metrics.accuracy import per_class_accuracy
from cu_core.metrics.membership import attack_features
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult, RequestKind

MAP_ROWS = 400
"""Most rows of the map of embeddings."""
SAMPLES_AT_ONCE = 2**16
"""Most rows of a part of the table of samples."""
LEAST_SPREAD = 1e-6
"""Least standard deviation of normalised embeddings, in their widest direction, that a map can show."""
MAP_STEPS = 500
"""Most iterations for the map of embeddings."""
REPORT_VERSION = 10
"""Version of the format of ``audit.json``: raised when its content changes."""
GIVEN = {
    "best_paraphrase_accuracy": "paraphrases",
    "wording_synonym": "paraphrases",
    "other_data_accuracy": "other_data",
    "language_precision": "languages",
    "language_retain_precision": "languages",
    "unseen_style_accuracy": "style_column",
    "unseen_style_precision": "style_column",
    "unseen_style_retain_accuracy": "style_column",
    "unseen_style_retain_precision": "style_column",
}
"""Metrics that there are only with a setting of the audit."""


@dataclass(frozen=True)
class ModelFigures:
    """All metrics of one model."""

    metrics: Mapping[str, MetricResult]
    per_class: Mapping[int, MetricResult]
    """Test accuracy of each class."""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Percent after 0, 1, 2... steps."""


@dataclass(frozen=True)
class Row:
    """One metric across models, in points."""

    name: str
    audit: str
    title: str
    original: float
    unlearned: float
    unlearned_low: float | None
    unlearned_high: float | None
    oracles: tuple[float, ...]
    difference: float | None
    """Unlearned - mean of the oracles; absent without an oracle."""
    band: Band | None
    """How far the figure may lie from that mean."""
    tolerance: float | None
    """The larger of the band's two; absent for what is not judged."""
    in_gap: bool


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """Everything that a reader needs to judge the result and to reproduce it."""

    kind: RequestKind
    request: Mapping[str, Any]
    class_names: tuple[str, ...]
    sizes: Mapping[str, int]
    """Rows of each set."""
    rows: tuple[Row, ...]
    gap: OracleGap | None
    doing_nothing_gap: OracleGap | None
    verdict: Verdict
    limits: Limits | None
    """What such a verdict can see; absent where `cu calibrate` was not run."""
    absent: Mapping[str, str]
    """Metrics of the request's kind that are not there, and why."""
    per_class: Mapping[str, Mapping[int, MetricResult]]
    received: Mapping[str, Sequence[float]]
    """Class requests: by role, percent of the unseen forgotten-class rows that each class gets."""
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    """By audit metric and role: percent after 0, 1, 2... steps."""
    cost: Mapping[str, float]
    """Rows forwarded, steps and seconds of unlearning and of retraining."""
    stop: Mapping[str, Any]
    leaks: int
    retain_ids_checked: int
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    """Of Python and of the packages that made the figures."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Resolved configuration."""
    version: int = REPORT_VERSION


ATTACKS = ("mia_cosine_auc", "mia_view_auc")
"""Attacks of other audits than that of membership."""


def figure_rows(original: Figures, unlearned: Figures, oracles: Sequence[Figures], rule: Rule) -> tuple[Row, ...]:
    """Build one row for each metric that both models have, in points.

    Args:
        original: Figures of the original.
        unlearned: Figures of the unlearned model.
        oracles: Figures of each oracle.
        rule: Gives the claim, the audit's configuration and the bands.

    Returns:
        The rows in the order of the table of metrics.
    """
    rows = []
    for name, metric in metrics_of(rule.claim.kind, rule.config, rule.claim.classes).items():
        if name not in unlearned or name not in original:
            continue
        own = unlearned[name]
        others = [o for o in oracles if name in o]
        limit = rule.band(name) if others else None
        rows.append(
            Row(
                name,
                metric.audit,
                metric.title,
                metric.points(original[name]),
                metric.points(own),
                None if own.low is None else metric.scale * own.low,
                None if own.high is None else metric.scale * own.high,
                tuple(metric.points(o[name]) for o in others),
                difference(name, unlearned, others) if others else None,
                limit,
                limit.tolerance if limit and name in rule.claim.judged else None,
                metric.in_gap,
            )
        )
    return tuple(rows)


def absent_metrics(kind: RequestKind, unlearned: Figures, oracles: int, config: AuditConfig) -> dict[str, str]:
    """Explain why each missing metric is missing.

    Args:
        kind: Kind of the request.
        unlearned: Figures of the unlearned model.
        oracles: Number of oracles.
        config: Configuration of the audit.

    Returns:
        Name of the metric -> reason.
    """
    made = metrics_of(kind, config)
    pairs = {n for n, m in METRICS.items() if AUDITS[m.audit].pairs_only}
    encoders = {n for n, m in METRICS.items() if AUDITS[m.audit].encoders_only}
    encoders = set() if encoders & unlearned.keys() else encoders
    reads_captions = bool(pairs & unlearned.keys())
    pairs = set() if reads_captions else pairs  # of a classifier nobody misses them
    usual = (n for n, m in METRICS.items() if kind in m.kinds and not AUDITS[m.audit].on_request)
    reasons = dict.fromkeys(usual, "its audit was not asked for (audit.audits)")
    reasons |= dict.fromkeys(made, f"it compares with oracles, there {'is 1' if oracles == 1 else f'are {oracles}'}")
    reasons |= {n: "there is no such wording of what is forgotten" for n, m in made.items() if m.audit == "wordings"}
    bases = {n: n.partition("/")[0] for n in made}
    reasons |= {n: _not_given(GIVEN[base], config) for n, base in bases.items() if base in GIVEN}
    reasons |= {n: MISSING[m.audit] for n, m in made.items() if m.audit in MISSING}
    reasons |= {n: "too few forget rows to learn from" for n, m in made.items() if m.audit == "relearning"}
    reasons |= dict.fromkeys(
        (n for n, m in made.items() if m.audit == "membership" or n in ATTACKS),
        "no held-out row has a class of the forget rows",
    )
    asked = {*(config.audits or ()), *config.more_audits}
    reasons |= {
        n: "it is for requests of whole classes"
        for n, m in METRICS.items()
        if m.audit in asked and kind not in AUDITS[m.audit].kinds
    }
    if reads_captions:
        reasons |= {n: "it is for classifiers" for n, m in made.items() if AUDITS[m.audit].classifiers_only}
    if "forget_accuracy" not in unlearned:
        reasons |= {n: "the pairs have no classes" for n, m in made.items() if AUDITS[m.audit].needs_classes}
    return {name: reason for name, reason in reasons.items() if name not in {*unlearned, *pairs, *encoders}}


def _not_given(setting: str, config: AuditConfig) -> str:
    """Explain why a metric that needs a setting is missing."""
    if getattr(config, setting):
        return f"no measured row fits (audit.{setting})"
    return f"none given (audit.{setting})"


def compare_models(
    original: Figures, unlearned: Figures, rule: Rule, others: Others | None = None
) -> tuple[OracleGap | None, OracleGap | None, Verdict]:
    """Judge the unlearned model and compute its distance to the oracles.

    Args:
        original: Figures of the original.
        unlearned: Figures of the unlearned model.
        rule: The verdict rule, with its oracles.
        others: Passed on to ``judge``.

    Returns:
        (gap, gap of doing nothing, verdict). The gaps are ``None`` without an oracle.
    """
    verdict = judge(original, unlearned, rule, others)
    if not rule.oracles:
        return None, None, verdict
    return oracle_gap(unlearned, rule.oracles), oracle_gap(original, rule.oracles), verdict


def per_class_test_accuracy(subject: Subject) -> dict[int, MetricResult]:
    """Compute the test accuracy of each class."""
    parts = [subject.retain_test] + ([subject.forget_test] if subject.split.forget.kind == "class" else [])
    correct, labels = (np.concatenate([getattr(p, f) for p in parts]) for f in ("correct", "labels"))
    return per_class_accuracy(correct, labels)


def sample_parts(role: str, subject: Subject) -> Iterator[pa.Table]:
    """Yield the rows of ``sample_table``, ``SAMPLES_AT_ONCE`` at a time."""
    table = sample_table(role, subject)
    for first in range(0, len(table), SAMPLES_AT_ONCE):
        yield table.slice(first, SAMPLES_AT_ONCE)


def sample_table(role: str, subject: Subject) -> pa.Table:
    """Build one row per evaluated sample: role, set, sample_id, label, predicted, loss, x and y.

    x and y are the position on a 2-d map of the embeddings (t-SNE, van der Maaten and Hinton 2008), for up to 400 test
    rows. Image-text models also have the rows of ``search_rows`` and the columns of ``pair_columns``, and their class
    prompts are on the map (of many classes, those of the forgotten ones).
    """
    sets = {
        "forget": subject.forget_train,
        "retain": subject.retain_train,
        "holdout": subject.holdout,
        "test": subject.retain_test,
    }
    if subject.split.forget.kind == "class":
        sets["forget_test"] = subject.forget_test
    tables = []
    for name, predictions in sets.items():
        columns = {
            "role": [role] * len(predictions),
            "set": [name] * len(predictions),
            "sample_id": predictions.sample_ids,
            "label": predictions.labels,
            "predicted": predictions.logits.argmax(1),
            "loss": attack_features(predictions.logits, predictions.labels)["loss"],
        }
        tables.append(pa.table(columns))
    table = pa.concat_tables(tables)
    if isinstance(subject.model, ImageTextClassifier):
        for column, values in pair_columns(subject, sets).items():
            table = table.append_column(column, values)
        more = [_prompts(role, subject.model), search_rows(role, subject)]
        table = pa.concat_tables([table, *more], promote_options="default")
    places = _map(subject, sorted({"test", "forget_test"} & sets.keys()), sets)
    ids = table["sample_id"].to_numpy()
    xy = np.array([places.get(int(i), (np.nan, np.nan)) for i in ids], dtype=np.float32)
    return table.append_column("x", pa.array(xy[:, 0])).append_column("y", pa.array(xy[:, 1]))


def _prompts(role: str, model: ImageTextClassifier) -> pa.Table:
    """Build a row for each class, of set ``prompt``; its sample_id is -1 - class."""
    numbers = np.arange(model.prompts.shape[1])
    count = len(numbers)
    columns = {"role": [role] * count, "set": ["prompt"] * count, "sample_id": -1 - numbers, "label": numbers}
    return pa.table(columns)


def _map(subject: Subject, names: Sequence[str], sets: Mapping[str, Any]) -> dict[int, tuple[float, float]]:
    from sklearn.manifold import TSNE

    each = MAP_ROWS // len(names) if len(names) > 1 else MAP_ROWS
    parts = [
        (p.embedding[: each if n == "test" else each // 3], p.sample_ids[: each if n == "test" else each // 3])
        for n, p in ((n, sets[n]) for n in names)
    ]
    if isinstance(subject.model, ImageTextClassifier):
        prompts = subject.model.class_features().mean(0).float().cpu().numpy()
        few = len(prompts) < MANY_CLASSES
        drawn = np.arange(len(prompts)) if few else np.array(subject.split.forget.classes, np.int64)
        parts.append((prompts[drawn], -1 - drawn))
    embedding, ids = (np.concatenate([p[i] for p in parts]) for i in range(2))
    if len(ids) < 10:
        return {}
    unit = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    # Of rows that all lie in one place, scikit-learn's t-SNE divides by a variance of 0 and crashes.
    if not unit.std(0).max() > LEAST_SPREAD:  # false for NaN too
        return {}
    places = TSNE(
        2, init="pca", max_iter=MAP_STEPS, random_state=subject.seed, perplexity=min(30.0, len(ids) / 4)
    ).fit_transform(unit)
    return {int(i): (float(x), float(y)) for i, (x, y) in zip(ids, places, strict=True)}
