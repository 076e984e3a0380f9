"""Views: what an encoder that was trained by contrast shows of its forget rows, without labels or a head."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from cu_core.audit.subject import Findings, Subject
from cu_core.data.forget_split import RowSet
from cu_core.data.views import random_views
from cu_core.metrics.membership import attack_auc, auc_interval, class_match_weights
from cu_core.metrics.representation import unit
from cu_core.salts import Salt
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import ROWS_AT_ONCE

VIEWS = 10
"""Views of a row, as in EncoderMI."""
MOST_ROWS = 500
"""Forget rows, and holdout rows, whose views are embedded."""


def views(subject: Subject) -> Findings:
    """Measure how alike views of forget rows are; empty for models whose objective is cross-entropy.

    ``forget_alignment``: mean squared distance between two views of a forget row. ``forget_uniformity``: logarithm of
    the mean Gaussian potential of two different forget rows, one view of each. Both on embeddings at length one.
    ``mia_view_auc``: how well the mean cosine among the views of a row separates forget rows from holdout rows, which
    are weighted to the class shares of the forget set.
    """
    if subject.model.objective == "cross_entropy":
        return Findings({})
    split, reader = subject.split, subject.split.reader
    target, holdout = split.forget_reported, split.holdout
    alike = np.isin(reader.labels(holdout.split, holdout.rows), np.unique(reader.labels(target.split, target.rows)))
    sets = [_drawn(subject, target, 0)]
    inside = _embedded(subject, sets[0])
    members = mean_view_cosines(inside)
    distances = 2 - 2 * members
    half = 1.96 * float(distances.std(ddof=1)) / len(distances) ** 0.5 if len(distances) > 1 else 4.0
    mean = float(distances.mean())
    found = {"forget_alignment": MetricResult(mean, len(distances), max(0.0, mean - half), mean + half)}
    if len(inside) > 1:
        found["forget_uniformity"] = MetricResult(uniformity(inside[:, 0]), len(inside))
    if alike.any():
        sets.append(_drawn(subject, RowSet(holdout.split, holdout.rows[alike]), 1))
        own, other = (reader.labels(rows.split, rows.rows) for rows in sets)
        weights = class_match_weights(other, own)
        auc = attack_auc(members, mean_view_cosines(_embedded(subject, sets[1])), weights)
        matched = int((weights > 0).sum())
        found["mia_view_auc"] = MetricResult(auc, len(members) + matched, *auc_interval(auc, len(members), matched))
    return Findings(found)


def _drawn(subject: Subject, rows: RowSet, number: int) -> RowSet:
    count = min(len(rows), MOST_ROWS, subject.config.max_rows)
    rng = np.random.default_rng([subject.seed, Salt.AUDIT_VIEWS, number])
    return RowSet(rows.split, np.sort(rng.choice(rows.rows, count, replace=False)))


@torch.inference_mode()
def _embedded(subject: Subject, rows: RowSet) -> NDArray[np.float64]:
    """Return the embeddings of all views, (N, VIEWS, D), at length one."""
    model, reader = subject.model, subject.split.reader
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    parts = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows.rows[start : start + ROWS_AT_ONCE]
        images, ids = reader.images(rows.split, part), reader.sample_ids(rows.split, part)
        seen = [random_views(images, ids, Salt.AUDIT_VIEWS, subject.seed, number) for number in range(VIEWS)]
        embedded = [unit(model(x.to(device)).embedding.double().cpu().numpy()) for x in seen]
        parts.append(np.stack(embedded, 1))
    model.train(was_training)
    return np.concatenate(parts).astype(np.float64)


def mean_view_cosines(x_NVD: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the mean cosine of two different views of each row, (N,).

    Source: Liu et al. 2021 (EncoderMI-T), https://arxiv.org/abs/2108.11023, sec. 4.2.

    Args:
        x_NVD: Embeddings of V views of each row, at length one.
    """
    count = x_NVD.shape[1]
    return ((x_NVD.sum(1) ** 2).sum(1) - count) / (count * (count - 1))  # type: ignore[no-any-return]


def uniformity(x_ND: NDArray[np.float64]) -> float:
    """Compute the logarithm of the mean of exp(-2 |x - y|^2) over pairs of different rows, at length one.

    Source: Wang and Isola 2020, https://arxiv.org/abs/2005.10242, sec. 4.1.2.

    Raises:
        ValueError: There are fewer than two rows.
    """
    if len(x_ND) < 2:
        raise ValueError("uniformity needs two rows or more.")
    above = np.triu_indices(len(x_ND), 1)
    exponents = -2 * (2 - 2 * (x_ND @ x_ND.T)[above])
    return float(logsumexp(exponents) - np.log(len(exponents)))
