"""Memorisation left: what the model knows of the forget rows beyond retrained models, relative to the original."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cu_core.audit.answers import Answers
from cu_core.types import MetricResult

LEAST = 0.01
"""Confidences are held in [LEAST, 1 - LEAST]: beyond, logits differ from model to model more than from member to
non-member."""
NEGLIGIBLE = 0.01
"""Mean difference in logits under which the original counts as answering like the references."""


def memorisation(answers: Answers, references: Sequence[Answers], original: Answers) -> dict[str, MetricResult]:
    """Compute ``memorisation_left``, in percent.

    It is 0 for a model that is as sure of the forget rows as the references are, and 100 for the original. If a share
    of the rows was left in training, it is about that share.

    Let x_i be the logit of the confidence in the label of forget row i, m_i its mean over the references, and o_i that
    of the original: 100 sum_i (x_i - m_i) / sum_i (o_i - m_i). Every model answers the same rows, so the difficulty of
    a row cancels and only differences between models remain. The interval is that of the mean over rows.

    Args:
        answers: Answers of the audited model.
        references: Answers of retrained models.
        original: Answers of the original.

    Returns:
        The metric; empty without references or forget rows, and where the original is no surer than the references.
    """
    if not references or not len(answers.forget):
        return {}
    mean = np.mean([_logits(reference) for reference in references], axis=0)
    known = float((_logits(original) - mean).mean())
    if known < NEGLIGIBLE:
        return {}
    parts = 100 * (_logits(answers) - mean) / known
    value, half = float(parts.mean()), 1.96 * float(parts.std() / np.sqrt(len(parts)))
    return {"memorisation_left": MetricResult(value, len(parts), value - half, value + half)}


def _logits(answers: Answers) -> NDArray[np.float64]:
    rows = np.arange(len(answers.forget))
    own = answers.forget[rows, answers.forget_labels].astype(np.float64)
    return np.asarray(logit(np.clip(own, LEAST, 1 - LEAST)), dtype=np.float64)
