"""Scores of membership attacks from the outputs of the audited model. N rows, C classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Scores = NDArray[np.float64]


def attack_features(logits_NC: NDArray[np.floating], labels_N: NDArray[np.int64]) -> dict[str, Scores]:
    """Compute the features of membership attacks for each row.

    Modified entropy (Song and Mittal 2021, eq. 6): -(1-p_y) log p_y - sum_{c != y} p_c log(1 - p_c).

    Args:
        logits_NC: Logits, (N, C).
        labels_N: Labels, (N,).

    Returns:
        Loss, confidence, entropy, modified entropy and correctness by name, each float64 (N,).
    """
    logs = log_softmax(logits_NC.astype(np.float64), axis=1)
    probs = np.exp(logs)
    rows = np.arange(len(labels_N))
    tiny = np.finfo(np.float64).tiny
    log_rest = np.log(np.maximum(1 - probs, tiny))
    others = probs * log_rest
    others[rows, labels_N] = 0
    own = probs[rows, labels_N]
    return {
        "loss": -logs[rows, labels_N],
        "confidence": own,
        "entropy": -(probs * logs).sum(1),
        "modified_entropy": -(1 - own) * logs[rows, labels_N] - others.sum(1),
        "correct": (logits_NC.argmax(1) == labels_N).astype(np.float64),
    }


def class_match_weights(labels_N: NDArray[np.int64], target_labels: NDArray[np.int64]) -> Scores:
    """Compute weights that give ``labels_N`` the class shares of ``target_labels``; zero for classes not among them."""
    classes = int(max(labels_N.max(initial=0), target_labels.max(initial=0))) + 1
    have, want = np.bincount(labels_N, minlength=classes), np.bincount(target_labels, minlength=classes)
    ratio = np.divide(want, have, out=np.zeros(classes), where=have > 0)
    return ratio[labels_N]


def attack_auc(members: Scores, non_members: Scores, weights: Scores) -> float:
    """Compute the area under the ROC curve of separating members from non-members.

    Args:
        members: Scores of members; higher means more likely a member.
        non_members: Scores of non-members.
        weights: Weights of the non-members.

    Returns:
        AUC, 0 to 1.

    Raises:
        ValueError: A side is empty.
    """
    from sklearn.metrics import roc_auc_score

    if len(members) == 0 or weights.sum() == 0:
        raise ValueError("a membership attack needs forget rows and held-out rows of the same classes.")
    truth = np.r_[np.ones(len(members)), np.zeros(len(non_members))]
    sample_weight = np.r_[np.ones(len(members)), weights]
    return float(roc_auc_score(truth, np.r_[members, non_members], sample_weight=sample_weight))


def auc_interval(auc: float, num_members: int, num_non_members: int) -> tuple[float, float]:
    """Compute the 95% interval of an AUC from its counts (Hanley and McNeil 1982, eq. 2), cut to 0..1."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (num_members - 1) * (q1 - auc**2) + (num_non_members - 1) * (q2 - auc**2)
    half = 1.96 * float(np.sqrt(max(spread, 0) / (num_members * num_non_members)))
    return max(0.0, auc - half), min(1.0, auc + half)


def tpr_at_fpr(members: Scores, non_members: Scores, weights: Scores, fpr: float) -> float:
    """Compute the share of members found by the lowest threshold whose false-positive rate is at most ``fpr``."""
    from sklearn.metrics import roc_curve

    truth = np.r_[np.ones(len(members)), np.zeros(len(non_members))]
    rates, caught, _ = roc_curve(
        truth, np.r_[members, non_members], sample_weight=np.r_[np.ones(len(members)), weights]
    )
    return float(caught[rates <= fpr].max())
