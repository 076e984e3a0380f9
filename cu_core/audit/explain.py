"""Explanations of the metrics for readers of a report: definition, formula, source and pitfalls."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from cu_core.audit.explain_more import MORE
from cu_core.audit.explain_probes import CLASS_MATCHED, PROBES
from cu_core.audit.explain_search import SEARCH
from cu_core.audit.explain_strong import STRONG
from cu_core.audit.explanation import Explanation
from cu_core.audit.table import METRICS
from cu_core.errors import UserError

_SONG = "Song and Mittal 2021, USENIX Security, sec. 4"
EXPLANATIONS: Mapping[str, Explanation] = {
    "forget_accuracy": Explanation(
        "Accuracy on forget rows that the stop rule did not use (class requests: all forget rows).",
        "correct / rows",
        "Golatkar et al. 2020, arXiv 1911.04933; papers give UA = 100 - this",
        "Zero proves nothing: the head can suppress a class that is still in the features. A value below the oracle's "
        "is a failure too.",
    ),
    "forget_all_accuracy": Explanation(
        "Accuracy on all forget rows, including those that the stop rule used.",
        "correct / rows",
        "as forget_accuracy",
        "In a sample request, the stop rule may use half of these rows. Not judged.",
    ),
    "forget_test_accuracy": Explanation(
        "Accuracy on test rows of the forgotten class.",
        "correct / rows",
        "Lee et al. 2025, arXiv 2401.10458, table 1",
        "Oracles give 0 without any spread, so a few correct rows are already a difference.",
    ),
    "retain_accuracy": Explanation(
        "Accuracy on a random sample of the retain training rows.",
        "correct / rows",
        "RA in papers",
        "It is near 100 for all models.",
    ),
    "test_accuracy": Explanation(
        "Accuracy on test rows that are not of a forgotten class.",
        "correct / rows",
        "TA in papers",
        "The oracle of a class request may be above the original, because it has one class less to confuse.",
    ),
    "mia_auc": Explanation(
        "How well a threshold on the loss separates forget rows from holdout rows. The confidence gives the same order "
        "of the rows, and therefore the same value.",
        "P(loss of a forget row < loss of a holdout row), ties count half",
        "Yeom et al. 2018, arXiv 1709.01604",
        CLASS_MATCHED,
    ),
    "mia_tpr_low_fpr": Explanation(
        "Fraction of forget rows that the loss threshold detects at a low false-positive rate (audit.low_fpr).",
        "max TPR with FPR <= audit.low_fpr",
        "Carlini et al. 2022, arXiv 2112.03570",
        "If the class has few holdout rows, the value depends on a few of them.",
    ),
    "mia_entropy_auc": Explanation(
        "The attack of mia_auc with the entropy of the answer, which needs no label.",
        "entropy = -sum_c p_c log p_c",
        _SONG,
        CLASS_MATCHED,
    ),
    "mia_modified_entropy_auc": Explanation(
        "The attack of mia_auc with an entropy that uses the label.",
        "-(1 - p_y) log p_y - sum_{c != y} p_c log(1 - p_c)",
        f"{_SONG}, eq. 6",
        f"A widely used implementation indexes columns instead of rows. {CLASS_MATCHED}",
    ),
    "mia_correct_auc": Explanation(
        "The attack of mia_auc that only uses whether the answer is correct.",
        "(1 + TPR - FPR) / 2",
        _SONG,
        "It has the same information as the difference between forget accuracy and holdout accuracy. Not judged.",
    ),
    "mia_logistic_auc": Explanation(
        "A logistic regression on loss, confidence, entropy, modified entropy and correctness. It is fitted on retain "
        "rows against one half of the holdout rows, and scored on forget rows against the other half.",
        "AUC of its decision function",
        "Shokri et al. 2017, arXiv 1610.05820 (features: Song and Mittal 2021)",
        "It learns the features of retain rows. Forget rows may differ from them.",
    ),
    "memorisation_left": Explanation(
        "The part of the memorisation of the forget rows that remains: the difference between the model and the "
        "oracles, in percent of the difference between the original and the oracles. It is 0 for an oracle and 100 for "
        "the original. All models answer the same rows, so the difficulty of a row cancels.",
        "100 sum_i (x_i - m_i) / sum_i (o_i - m_i); x: logit of the confidence in the label, clipped to [0.01, 0.99]; "
        "m: its mean over the other oracles; o: that of the original",
        "this project; logits of confidences as in Carlini et al. 2022, arXiv 2112.03570",
        "Rows that are known less than by the oracles cancel rows that are still known. forget_js detects both.",
    ),
    "member_prediction_rate": Explanation(
        "Fraction of forget rows that the logistic attack classifies as members.",
        "rows with a positive decision / rows",
        "Lee et al. 2025, arXiv 2401.10458, sec. 5 (member prediction rate)",
        "The attack also classifies unseen rows of a retrained model as members. Compare it with the oracle only.",
    ),
    "forget_js": Explanation(
        "Jensen-Shannon divergence between the answers of the model and of each oracle on the same forget row. It is "
        "the mean over rows and oracles, in percent of the maximum.",
        "(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in nats / log 2",
        "Lin 1991; Chundawat et al. 2023, arXiv 2205.08096, eq. 3",
        "Oracles differ from one another too, so the smallest possible value is their own mean distance. A common "
        "implementation reverses one KL and divides by rows times classes.",
    ),
    "test_js": Explanation(
        "As forget_js, on retained test rows.", "as forget_js", "as forget_js", "It grows with any further training."
    ),
    "forget_tv": Explanation(
        "Total variation to the oracles on forget rows.",
        "sum_c |p_c - q_c| / 2",
        "textbook",
        "Not judged; see forget_js.",
    ),
    "test_tv": Explanation(
        "Total variation to the oracles on test rows.", "sum_c |p_c - q_c| / 2", "textbook", "Not judged; see test_js."
    ),
    "forget_confidence": Explanation(
        "Mean probability that the model gives the labels of the forget rows.",
        "mean p_y",
        "Feldman 2020, arXiv 1906.05271 (memorisation compares it)",
        "It still shows differences if the label is no longer the top answer and the accuracy is 0.",
    ),
    "forget_entropy": Explanation(
        "Mean entropy of the answers on forget rows.",
        "-sum_c p_c log p_c, nats",
        "Golatkar et al. 2020, arXiv 1911.04933",
        "A retrained model does not give uniform answers. Not judged.",
    ),
    "own_share": Explanation(
        "Fraction of unseen rows of the forgotten classes that are classified as a forgotten class.",
        "rows whose answer is a forgotten class / rows",
        "this project",
        "For one class, it is the accuracy on it. For several, it also counts confusions among the forgotten classes.",
    ),
    "neighbour_share": Explanation(
        "Fraction of unseen rows of the forgotten class that get one of the three most frequent answers of oracles.",
        "rows whose answer is one of the three / rows",
        "this project",
        "It is also high if all rows go to one of the three classes. See assignment_distance.",
    ),
    "assignment_distance": Explanation(
        "Total variation between the model and the oracles in how the unseen rows are distributed over the classes.",
        "sum_c |share_c - mean oracle share_c| / 2",
        "this project",
        "Oracles differ from one another too. The smallest possible value is their own.",
    ),
    "probe_accuracy": Explanation(
        "A logistic regression on the frozen embedding, fitted on training rows of all classes and scored on unseen "
        "rows of the forgotten class.",
        "correct / rows",
        "Alain and Bengio 2017, arXiv 1610.01644",
        "It is high for a retrained model as well. Only the excess over the oracle is evidence.",
    ),
    "hidden_probe_accuracy": Explanation(
        "As probe_accuracy, at about three quarters of the depth.",
        "correct / rows",
        "as probe_accuracy",
        "as probe_accuracy",
    ),
    "knn_accuracy": Explanation(
        "Majority vote of the ten nearest training rows (cosine). The forgotten class has as many rows as any other.",
        "correct / rows",
        "Wu et al. 2018, arXiv 1805.01978 (nearest-neighbour evaluation)",
        "as probe_accuracy",
    ),
    "prototype_recovery": Explanation(
        "Fraction of unseen rows of the class that are nearer to the mean of five forget rows than to the mean of any "
        "retained class.",
        "mean over 20 draws of the five rows",
        "Snell et al. 2017, arXiv 1703.05175",
        "It is what a person with five images could recover without training.",
    ),
    "within_class_cosine": Explanation(
        "Mean cosine between unseen rows of the forgotten class.",
        "mean over pairs of z_i . z_j",
        "neural collapse: Papyan et al. 2020, arXiv 2008.08186",
        "A class that was moved as a whole stays compact. A class that was never learned is more spread.",
    ),
    "relearn_5": Explanation(
        "Accuracy on other rows while the model is fine-tuned on 5 forget rows and retain rows; mean over the steps.",
        "mean of the curve over audit.relearn_steps steps",
        "Golatkar et al. 2020, arXiv 1911.04933 (relearn time)",
        "It depends on the learning rate. The plot also shows the oracles and an untrained model. An image-text model "
        "of more than 200 classes whose text tower trains chooses from 200 of them.",
    ),
    "relearn_50": Explanation("As relearn_5, with 50 forget rows.", "as relearn_5", "as relearn_5", "as relearn_5"),
    "relearn_5_steps": Explanation(
        "Steps of the fine-tuning of relearn_5 until half of the rows are correct.",
        "first step >= 50%",
        "as relearn_5",
        "It is coarse.",
    ),
    "relearn_50_steps": Explanation(
        "As relearn_5_steps, with 50 forget rows.", "first step >= 50%", "as relearn_5", "It is coarse."
    ),
    "rebound_accuracy": Explanation(
        "Accuracy on unseen rows of the forgotten class (sample requests: on the forget rows) after further training "
        "on retain rows only.",
        "correct / rows after audit.rebound_steps steps",
        "this project; relearning without the data",
        "If it rises, the unlearning was shallow: ordinary training reverses it.",
    ),
    **PROBES,
    **{
        f"{part}_{way}_r{top}": Explanation(
            f"Fraction of {words} with a match among the {top} nearest; {rows}.",
            f"mean over queries of [a match is among the {top} nearest by cosine]",
            "Radford et al. 2021, arXiv 2103.00020, appendix E",
            "With a zero-shot accuracy of 0, a caption may still find its images: read both directions. Equal captions "
            "are one query, so caption to image may have few queries.",
        )
        for part, rows in (
            ("forget", "unseen rows of the class in the whole test set, or the forget rows among themselves"),
            ("retain", "all other test rows, or the same number of retain rows as forget rows"),
        )
        for way, words in (("i2t", "images"), ("t2i", "distinct captions"))
        for top in (1, 5, 10)
    },
    **{
        f"{part}_t2i_precision": Explanation(
            f"Of the R images that match a caption, the fraction among its R nearest images (R-precision); {rows}.",
            "mean over captions of (matches among the R nearest / R)",
            "Manning et al. 2008, Introduction to Information Retrieval, sec. 8.4 (R-precision)",
            "R@1 of a class has one query per caption, often a single one. This metric uses all images of the class. "
            "If each caption has one image, it is R@1.",
        )
        for part, rows in (("forget", "as forget_t2i_r1"), ("retain", "as retain_t2i_r1"))
    },
    **{
        f"unseen_{way}_r1": Explanation(
            f"As forget_{way}_r1, for the same number of pairs that no model was trained on.",
            "as forget_i2t_r1",
            "as forget_i2t_r1",
            "Forgotten pairs should reach this value. Not judged.",
        )
        for way in ("i2t", "t2i")
    },
    "best_template_accuracy": Explanation(
        "Zero-shot accuracy on unseen rows of the class with the single template that gives the highest accuracy.",
        "max over templates of correct / rows",
        "this project",
        "A concept that is forgotten in one wording may remain in another. The ensemble of templates hides this.",
    ),
    "best_paraphrase_accuracy": Explanation(
        "As best_template_accuracy, with the best caption of audit.paraphrases.",
        "max over paraphrases of correct / rows",
        "this project",
        "It depends on the paraphrases. The original does not recognise words that it never saw either.",
    ),
    "other_data_accuracy": Explanation(
        "Zero-shot accuracy on the test rows of the data in audit.other_data, with the model's own templates.",
        "correct / rows",
        "Radford et al. 2021, arXiv 2103.00020, sec. 3.1",
        "A value near chance has no information. Check the original's value first.",
    ),
    "prompt_distance": Explanation(
        "Distance in the text tower between the prompts of the forgotten class and of the nearest retained class.",
        "1 - max over retained classes of the cosine, mean over templates (interval: minimum and maximum)",
        "this project; what the text tower shows without an image",
        "If only the image tower is trained, it does not change. A retrained model may also separate a word that it "
        "never saw. Not judged.",
    ),
    "hub_rate": Explanation(
        "Fraction of retained test images that are classified as the forgotten class (zero-shot).",
        "rows classified as the class / rows",
        "this project; hubs: Radovanovic et al. 2010, JMLR 11",
        "If only captions are pushed for long, the forgotten caption can become the nearest one to all images.",
    ),
    "mia_cosine_auc": Explanation(
        "How well a threshold on forget_margin separates forget rows from holdout rows.",
        "P(margin of a forget row > margin of a holdout row), ties count half",
        "Ko et al. 2023, arXiv 2310.00108, sec. 3 (cosine attack on CLIP)",
        CLASS_MATCHED,
    ),
    "forget_margin": Explanation(
        "Mean cosine of forgotten images with their own captions, minus that with retained captions.",
        "mean_i (u_i . v_i - mean_j u_i . v_j)",
        "Liang et al. 2022, arXiv 2203.02053 (the gap between modalities cancels)",
        "Below the oracle, the pair was pushed apart further than in a model that never saw it.",
    ),
    **SEARCH,
    **MORE,
}


def explain(name: str) -> str:
    """Describe one metric as text for the terminal.

    Args:
        name: Name of a metric or of a figure of the strong audit.

    Returns:
        Definition, formula, source and pitfalls, one per line.

    Raises:
        UserError: There is no such metric; the message lists the metrics.
    """
    if name in STRONG:
        return "\n".join([f"{name}: a figure of cu audit-strong", *_lines(STRONG[name])])
    if name not in EXPLANATIONS:
        near = difflib.get_close_matches(name, [*EXPLANATIONS, *STRONG], 1)
        hint = f"did you mean {near[0]}?" if near else f"metrics: {', '.join([*EXPLANATIONS, *STRONG])}."
        raise UserError(f"no metric {name!r}; {hint}")
    metric = METRICS[name]
    lower = {
        "forget": "above the oracle: under-forgotten; below: over-forgotten",
        "utility": "outside the tolerance in either direction: over-forgotten",
        "damage": "above the oracle: over-forgotten",
        "distance": "above the distance of the oracles to one another: over-forgotten",
        "projection": "above the oracle: under-forgotten; below: over-forgotten",
    }[metric.side]
    judged = f"{lower} ({' and '.join(metric.judged)} requests)" if metric.judged else "not judged"
    return "\n".join(
        [
            f"{name}: {metric.title}",
            *_lines(EXPLANATIONS[name]),
            f"  verdict     {judged}",
            f"  requests    {', '.join(metric.kinds)}; audit {metric.audit}",
        ]
    )


def _lines(told: Explanation) -> list[str]:
    return [
        f"  definition  {told.definition}",
        f"  formula     {told.formula}",
        f"  source      {told.source}",
        f"  pitfalls    {told.pitfalls}",
    ]
