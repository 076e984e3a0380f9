"""Explanations of the figures of the strong audit, in the form of ``explain.py``."""

from __future__ import annotations

from collections.abc import Mapping

from cu_core.audit.explanation import Explanation

_OF_POOLS = "New pools change it by a few hundredths. With fewer than 64 models, all rows share one variance."
_FINDS = (
    "The column `finds` is the smallest shift of all margins, in standard deviations over oracles, that is detected in "
    "80% of audits with 5% false alarms, for normal margins. A shift is detected by the excess over the retrained "
    "column. If a shift of 2 is not detected, the figure is absent."
)
STRONG: Mapping[str, Explanation] = {
    "u_lira_auc": Explanation(
        "How well an attacker separates models that unlearned a row from models that never saw it, row by row. The "
        "attacker has models of both kinds; every model is judged by the others. 0.5 is chance.",
        "AUC of log N(margin; unlearned models) - log N(margin; models without the row), margin = log(p_y / (1 - p_y))",
        "Hayes et al. 2024, arXiv 2403.01218, algorithm 1; Carlini et al. 2022, arXiv 2112.03570, eq. 4",
        f"It detects both directions: too much and too little forgetting. The figure does not show which. {_OF_POOLS}",
    ),
    "u_lira_offline_auc": Explanation(
        "The one-sided attack, without models that unlearned: how far the margin of a row is above the margins of "
        "models that never saw it. Below 0.5, the row is known less than unseen rows: over-forgotten.",
        "AUC of (margin - mean without the row) / standard deviation without the row",
        "Carlini et al. 2022, arXiv 2112.03570, eq. 5",
        f"If half of the rows are known too well and half too little, it is 0.5. Read it with u_lira_auc. {_OF_POOLS}",
    ),
    "u_rmia_auc": Explanation(
        "How well an attacker separates unlearned rows from rows that were never seen, by comparing each row with "
        "unseen rows. It is one-sided, and the strongest attack with few models. Below 0.5: over-forgotten.",
        "AUC of the fraction of unseen rows z with (p_x / mean p_x without the row) >= (p_z / mean p_z)",
        "Zarifzadeh et al. 2024, arXiv 2312.03262, eq. 2, offline",
        f"If half of the rows are known too well and half too little, it is 0.5. {_OF_POOLS}",
    ),
    "klom_forget": Explanation(
        "Distance between the margins of unlearned models and of oracles, as distributions over seeds, on forget rows: "
        "the 95th percentile over rows. The retrained column is the same distance between two halves of the oracles.",
        "Kullback-Leibler divergence of histograms over models, in nats, per row",
        "Georgiev et al. 2024, arXiv 2410.23232 (KLoM)",
        f"With few models, the divergence of two equal pools is large. Compare it with the retrained column only. "
        f"{_FINDS} With 8 models and a few hundred rows, it is absent.",
    ),
    "klom_unseen": Explanation(
        "As klom_forget, on unseen rows: the effect of the unlearning on rows that it should not change.",
        "as klom_forget",
        "as klom_forget",
        "as klom_forget",
    ),
    "gaussian_forget": Explanation(
        "Distance between normal distributions that are fitted to the margins, for few models: the 95th percentile "
        "over forget rows. The retrained column is the same distance between two halves of the oracles.",
        "KL divergence of two normal distributions, in nats, per row; variances moderated towards the mean over rows",
        "moderation: Smyth 2004, eq. 7; the figure is not KLoM and cannot be compared with published values of KLoM",
        f"It only uses means and variances. {_FINDS}",
    ),
    "gaussian_unseen": Explanation(
        "As gaussian_forget, on unseen rows.",
        "as gaussian_forget",
        "as gaussian_forget",
        "as gaussian_forget",
    ),
    "forgetting_quality": Explanation(
        "Score of the NeurIPS 2023 challenge. A threshold attack and a Gaussian attack separate unlearned models from "
        "oracles by the margin of a row. The better attack gives the points of the row; the score is their mean. 1 is "
        "best.",
        "mean over rows of 2 / 2^n, epsilon = largest log((1 - delta - FPR) / FNR), either way, in the n-th bin of 0.5",
        "Triantafillou et al. 2024, arXiv 2406.09073, eq. 3",
        "If a model has little to forget, doing nothing scores high. Compare it with that column.",
    ),
    "challenge_score": Explanation(
        "Forgetting quality times retain accuracy and test accuracy, each divided by the oracles' accuracy.",
        "quality x (retain / oracles' retain) x (test / oracles' test)",
        "Triantafillou et al. 2024, arXiv 2406.09073, eq. 4",
        "An accuracy above the oracles' increases the score.",
    ),
}
