"""Population membership attacks: is the forget set told from held-out rows of the same classes?

Reference: Yeom et al. 2018 (loss threshold); Shokri et al. 2017 and Song and Mittal 2021 (features).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cu_core.audit.subject import Subject
from cu_core.metrics.accuracy import accuracy, wilson_interval
from cu_core.metrics.membership import (
    Scores,
    attack_auc,
    attack_features,
    auc_interval,
    class_match_weights,
    tpr_at_fpr,
)
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions


def _features(predictions: Predictions) -> NDArray[np.float64]:
    return np.stack(list(attack_features(predictions.logits, predictions.labels).values()), axis=1)


def membership(subject: Subject) -> dict[str, MetricResult]:
    """AUC (0..1) and true-positive rate (percent) at ``low_fpr``; 0.5 means the attack cannot tell. The share of
    forget rows that the logistic attack takes for members (percent) is the paper's figure.

    The threshold attack on the loss fits nothing and uses the whole holdout set. The logistic attack is fitted on
    retain rows against one half of the holdout set and scored on forget rows against the other half.
    """
    target, holdout = subject.forget_train, subject.holdout
    weights = class_match_weights(holdout.labels, target.labels)
    member_loss = -attack_features(target.logits, target.labels)["loss"]
    other_loss = -attack_features(holdout.logits, holdout.labels)["loss"]
    fpr = subject.config.low_fpr
    tpr = 100 * tpr_at_fpr(member_loss, other_loss, weights, fpr)

    half = np.arange(len(holdout)) % 2 == 0
    fit, score = holdout.where(half), holdout.where(~half)
    attack = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=500))
    truth = np.r_[np.ones(len(subject.retain_train)), np.zeros(len(fit))]
    attack.fit(np.concatenate([_features(subject.retain_train), _features(fit)]), truth)
    low, high = wilson_interval(round(tpr * len(target) / 100), len(target))
    taken = attack.predict(_features(target)) == 1
    scored = class_match_weights(score.labels, target.labels)
    return {
        "mia_auc": _auc(member_loss, other_loss, weights),
        "mia_tpr_low_fpr": MetricResult(tpr, len(target), 100 * low, 100 * high),
        "member_prediction_rate": accuracy(taken),
        "mia_logistic_auc": _auc(
            attack.decision_function(_features(target)), attack.decision_function(_features(score)), scored
        ),
    }


def _auc(members: Scores, non_members: Scores, weights: Scores) -> MetricResult:
    auc, matched = attack_auc(members, non_members, weights), int((weights > 0).sum())
    return MetricResult(auc, len(members) + matched, *auc_interval(auc, len(members), matched))
