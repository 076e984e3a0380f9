"""What each figure of the strong tier is, in the words of ``explain.py``."""

from __future__ import annotations

from collections.abc import Mapping

from cu_core.audit.explanation import Explanation

_OF_POOLS = "Pools made anew move it by a few hundredths; fewer than 64 models share one variance over all rows."
_FINDS = (
    "The column `finds` is the smallest shift of all margins, in standard deviations over oracles, that the excess "
    "over the retrained column finds in 80% of audits with 5% of false alarms, for normal margins; where 2 is not "
    "found the figure is absent."
)
STRONG: Mapping[str, Explanation] = {
    "u_lira_auc": Explanation(
        "How well an attacker who has models that unlearned a row, and models that never saw it, tells the two apart, "
        "row by row; every model is judged by the others. 0.5: not at all.",
        "AUC of log N(margin; unlearned models) - log N(margin; models without the row), margin = log(p_y / (1 - p_y))",
        "Hayes et al. 2024, arXiv 2403.01218, algorithm 1; Carlini et al. 2022, arXiv 2112.03570, eq. 4",
        f"It learns either direction: a method that forgets too much is caught like one that forgets too little, and "
        f"the figure does not say which. {_OF_POOLS}",
    ),
    "u_lira_offline_auc": Explanation(
        "The same, one-sided and without models that unlearned: how far a row's margin lies above those of models that "
        "never saw it. Below 0.5: less known than unseen rows, so over-forgotten.",
        "AUC of (margin - mean without the row) / standard deviation without the row",
        "Carlini et al. 2022, arXiv 2112.03570, eq. 5",
        f"Half of the rows known too well and half too little give 0.5: read it beside the two-sided one. {_OF_POOLS}",
    ),
    "u_rmia_auc": Explanation(
        "How well an attacker tells rows that were unlearned from rows never seen by comparing each with unseen rows; "
        "one-sided, strongest with few models. Below 0.5: over-forgotten.",
        "AUC of the share of unseen rows z with (p_x / mean p_x without the row) >= (p_z / mean p_z)",
        "Zarifzadeh et al. 2024, arXiv 2312.03262, eq. 2, offline",
        f"Half of the rows known too well and half too little give 0.5. {_OF_POOLS}",
    ),
    "klom_forget": Explanation(
        "How far the margins of unlearned models lie from those of oracles, as distributions over seeds, on forget "
        "rows: the 95th percentile over rows. Beside it what two halves of the oracles show.",
        "Kullback-Leibler divergence of histograms over models, in nats, per row",
        "Georgiev et al. 2024, arXiv 2410.23232 (KLoM)",
        f"With few models the divergence of two equal pools is large: read it against the retrained column alone. "
        f"{_FINDS} With 8 models and a few hundred rows it is absent.",
    ),
    "klom_unseen": Explanation(
        "The same on unseen rows: what the unlearning did to rows that it was not asked to change.",
        "as klom_forget",
        "as klom_forget",
        "as klom_forget",
    ),
    "gaussian_forget": Explanation(
        "The same distance between normal distributions fitted to the margins, for few models: the 95th percentile "
        "over forget rows. Beside it what two halves of the oracles show.",
        "KL divergence of two normal distributions, in nats, per row; variances moderated towards the mean over rows",
        "moderation: Smyth 2004, eq. 7; the figure is not KLoM and compares with no published value of it",
        f"It sees means and variances alone. {_FINDS}",
    ),
    "gaussian_unseen": Explanation(
        "The same on unseen rows.",
        "as gaussian_forget",
        "as gaussian_forget",
        "as gaussian_forget",
    ),
    "forgetting_quality": Explanation(
        "Score of the NeurIPS 2023 challenge: how well the better of a threshold and a Gaussian attack tells unlearned "
        "models from oracles by a row's margin, turned into points and averaged over rows; 1 is best.",
        "mean over rows of 2 / 2^n, epsilon = largest log((1 - delta - FPR) / FNR), either way, in the n-th bin of 0.5",
        "Triantafillou et al. 2024, arXiv 2406.09073, eq. 3",
        "Doing nothing scores high where a model has little to forget; read it against that column.",
    ),
    "challenge_score": Explanation(
        "Forgetting quality times retain and test accuracy, each over the oracles'.",
        "quality x (retain / oracles' retain) x (test / oracles' test)",
        "Triantafillou et al. 2024, arXiv 2406.09073, eq. 4",
        "A method that raises accuracy above the oracles' gains by it.",
    ),
}
