"""Population membership attacks: is the forget set told from held-out rows of the same classes?

Reference: Yeom et al. 2018 (loss threshold); Shokri et al. 2017 and Song and Mittal 2021 (features).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.subject import Findings, Subject
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

THRESHOLDS = {
    "mia_auc": ("loss", -1.0),
    "mia_entropy_auc": ("entropy", -1.0),
    "mia_modified_entropy_auc": ("modified_entropy", -1.0),
    "mia_correct_auc": ("correct", 1.0),
}
"""Attack -> (feature, sign that makes members score high)."""


def _features(predictions: Predictions) -> NDArray[np.float64]:
    return np.stack(list(attack_features(predictions.logits, predictions.labels).values()), axis=1)


def membership(subject: Subject) -> Findings:
    """Run threshold attacks on single features and a logistic attack on all of them.

    Each attack gives an AUC (0..1; 0.5: the attack cannot tell). The loss attack also gives the true-positive rate
    (percent) at ``low_fpr``. ``member_prediction_rate``, the share of forget rows that the logistic attack takes for
    members (percent), is the figure of Lee et al. 2025.

    Threshold attacks fit nothing and use the whole holdout set. Confidence orders rows as the loss does. The logistic
    attack is fitted on retain rows against one half of the holdout set and scored on forget rows against the other
    half. Holdout rows are weighted to the class shares of the forget set. If no holdout row has a class of the forget
    rows, there is no attack. If none of the half has one, the logistic attack has no AUC.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    target, holdout = subject.forget_train, subject.holdout
    weights = class_match_weights(holdout.labels, target.labels)
    if not weights.any():
        return Findings({})
    inside, outside = (attack_features(p.logits, p.labels) for p in (target, holdout))
    metrics = {name: _auc(sign * inside[f], sign * outside[f], weights) for name, (f, sign) in THRESHOLDS.items()}
    tpr = 100 * tpr_at_fpr(-inside["loss"], -outside["loss"], weights, subject.config.low_fpr)
    low, high = wilson_interval(round(tpr * len(target) / 100), len(target))
    metrics["mia_tpr_low_fpr"] = MetricResult(tpr, len(target), 100 * low, 100 * high)

    half = np.arange(len(holdout)) % 2 == 0
    fit, score = holdout.where(half), holdout.where(~half)
    attack = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=500))
    truth = np.r_[np.ones(len(subject.retain_train)), np.zeros(len(fit))]
    attack.fit(np.concatenate([_features(subject.retain_train), _features(fit)]), truth)
    metrics["member_prediction_rate"] = accuracy(attack.predict(_features(target)) == 1)
    matched = class_match_weights(score.labels, target.labels)
    if matched.any():
        own, other = (attack.decision_function(_features(part)) for part in (target, score))
        metrics["mia_logistic_auc"] = _auc(own, other, matched)
    return Findings(metrics)


def _auc(members: Scores, non_members: Scores, weights: Scores) -> MetricResult:
    auc, matched = attack_auc(members, non_members, weights), int((weights > 0).sum())
    return MetricResult(auc, len(members) + matched, *auc_interval(auc, len(members), matched))
