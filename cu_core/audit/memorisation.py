"""How much of what the original knows of the forget rows, beyond retrained models, the audited model still knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cu_core.audit.answers import Answers
from cu_core.types import MetricResult

LEAST = 1e-4
"""Confidences are held in [LEAST, 1 - LEAST]: beyond, one row would decide for all."""
NEGLIGIBLE = 0.01
"""Difference in logits under which the original counts as answering like the references."""
PRIOR = 4
"""Weight of the mean variance over rows beside a row's own, as so many further references."""


def memorisation(answers: Answers, references: Sequence[Answers], original: Answers) -> dict[str, MetricResult]:
    """``memorisation_left``, in percent: 0 for a model that answers forget rows as the references do, 100 for the
    original.

    x_i is the logit of the confidence in the label of forget row i, m_i its mean over the references, d_i that of the
    original less m_i, v_i the variance of the references around m_i (moderated: a mean over rows weighs in). The
    figure is 100 sum_i w_i (x_i - m_i) / sum_i w_i d_i with w_i = d_i / v_i: of all weighted means of the row-wise
    differences the one that tells the original from the references best (Fisher's linear discriminant with a diagonal
    covariance). Every model answers the same rows, so how hard a row is cancels. The interval is that of the weighted
    mean over rows.

    Absent for fewer than two references, and where the original answers as they do.
    """
    if len(references) < 2 or not len(answers.forget):
        return {}
    known = np.stack([_logits(reference) for reference in references])
    mean, own = known.mean(0), known.var(0, ddof=1)
    freedom = len(references) - 1
    variance = (freedom * own + PRIOR * own.mean()) / (freedom + PRIOR)
    before = _logits(original) - mean
    weights = before / np.maximum(variance, np.finfo(np.float64).tiny)
    whole = float(weights @ before)
    if np.abs(before).max() < NEGLIGIBLE:
        return {}
    parts = len(before) * weights * (_logits(answers) - mean) / whole
    value, half = float(parts.mean()), 1.96 * float(parts.std() / np.sqrt(len(parts)))
    return {"memorisation_left": MetricResult(100 * value, len(parts), 100 * (value - half), 100 * (value + half))}


def _logits(answers: Answers) -> NDArray[np.float64]:
    rows = np.arange(len(answers.forget))
    own = answers.forget[rows, answers.forget_labels].astype(np.float64)
    return np.asarray(logit(np.clip(own, LEAST, 1 - LEAST)), dtype=np.float64)
