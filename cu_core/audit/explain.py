"""What each metric is, for readers of a report: definition, formula, source, and how it misleads."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from cu_core.audit.explain_strong import STRONG
from cu_core.audit.explanation import Explanation
from cu_core.audit.table import METRICS
from cu_core.errors import UserError

_SONG = "Song and Mittal 2021, USENIX Security, sec. 4"
_CLASS_MATCHED = (
    "Members are forget rows, non-members holdout rows weighted to the same class shares; below 0.5 the attack sees "
    "the rows as less known than unseen ones, which a retrained model does not show either: over-forgotten."
)
EXPLANATIONS: Mapping[str, Explanation] = {
    "forget_accuracy": Explanation(
        "Accuracy on forget rows that decided nothing (class requests: all of them).",
        "correct / rows",
        "Golatkar et al. 2020, arXiv 1911.04933; papers give UA = 100 - this",
        "Zero proves nothing: the head can refuse a class that the features still hold. Lower than the oracle is a "
        "failure too.",
    ),
    "forget_all_accuracy": Explanation(
        "Accuracy on all forget rows, those that decided when to stop included.",
        "correct / rows",
        "as forget_accuracy",
        "Half of the rows of a sample request were used to stop on them; not judged.",
    ),
    "forget_test_accuracy": Explanation(
        "Accuracy on test rows of the forgotten class.",
        "correct / rows",
        "Lee et al. 2025, arXiv 2401.10458, table 1",
        "An oracle gives 0 with no spread, so a few rows right already differ.",
    ),
    "retain_accuracy": Explanation(
        "Accuracy on retain training rows (a drawn sample).",
        "correct / rows",
        "RA in papers",
        "Near 100 for all models.",
    ),
    "test_accuracy": Explanation(
        "Accuracy on test rows that are not of a forgotten class.",
        "correct / rows",
        "TA in papers",
        "A class oracle may lie above the original: it has one class less to confuse.",
    ),
    "mia_auc": Explanation(
        "How well a threshold on the loss tells forget rows from holdout rows; confidence gives the same order of "
        "rows, hence the same figure.",
        "P(loss of a forget row < loss of a holdout row), ties half",
        "Yeom et al. 2018, arXiv 1709.01604",
        _CLASS_MATCHED,
    ),
    "mia_tpr_low_fpr": Explanation(
        "Share of forget rows caught by the loss threshold at a low false-positive rate (audit.low_fpr).",
        "max TPR with FPR <= audit.low_fpr",
        "Carlini et al. 2022, arXiv 2112.03570",
        "With few holdout rows of the class it rests on a handful of them.",
    ),
    "mia_entropy_auc": Explanation(
        "The same attack with the entropy of the answer, which needs no label.",
        "entropy = -sum_c p_c log p_c",
        _SONG,
        _CLASS_MATCHED,
    ),
    "mia_modified_entropy_auc": Explanation(
        "The same attack with an entropy that knows the label.",
        "-(1 - p_y) log p_y - sum_{c != y} p_c log(1 - p_c)",
        f"{_SONG}, eq. 6",
        f"A version in wide circulation indexes columns instead of rows. {_CLASS_MATCHED}",
    ),
    "mia_correct_auc": Explanation(
        "The same attack with nothing but whether the answer is right.",
        "(1 + TPR - FPR) / 2",
        _SONG,
        "Says what forget accuracy against holdout accuracy says; not judged.",
    ),
    "mia_logistic_auc": Explanation(
        "A logistic regression on loss, confidence, entropy, modified entropy and correctness, fitted on retain rows "
        "against one half of the holdout rows, scored on forget rows against the other half.",
        "AUC of its decision function",
        "Shokri et al. 2017, arXiv 1610.05820 (features: Song and Mittal 2021)",
        "It learns what retained rows look like; that is not always how forgotten ones do.",
    ),
    "memorisation_left": Explanation(
        "How much of what the original knows of the forget rows beyond the oracles is still there: 0 for an oracle, "
        "100 for the original. All models answer the same rows, so how hard a row is cancels.",
        "100 sum_i (x_i - m_i) / sum_i (o_i - m_i); x: logit of the confidence in the label, held in [0.01, 0.99]; m: "
        "its mean over the other oracles; o: the original's",
        "this project; logits of confidences as in Carlini et al. 2022, arXiv 2112.03570",
        "One direction only: rows forgotten beyond the oracle cancel rows still known; forget_js sees both.",
    ),
    "member_prediction_rate": Explanation(
        "Share of forget rows that the logistic attack takes for members.",
        "rows with a positive decision / rows",
        "Lee et al. 2025, arXiv 2401.10458, sec. 5 (member prediction rate)",
        "Also a retrained model takes unseen rows for members: read it against the oracle only.",
    ),
    "forget_js": Explanation(
        "Jensen-Shannon divergence between the answers of the model and of each oracle on the same forget row; mean "
        "over rows and oracles, as percent of its maximum.",
        "(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in nats / log 2",
        "Lin 1991; Chundawat et al. 2023, arXiv 2205.08096, eq. 3",
        "Oracles differ from one another too: the floor is their own mean distance. A common implementation reverses "
        "one KL and divides by rows times classes.",
    ),
    "test_js": Explanation(
        "The same on retained test rows.", "as forget_js", "as forget_js", "Grows with any further training."
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
        "Mean probability that forget rows get for their own label.",
        "mean p_y",
        "Feldman 2020, arXiv 1906.05271 (what memorisation compares)",
        "Finer than accuracy where the label is no longer the first answer.",
    ),
    "forget_entropy": Explanation(
        "Mean entropy of the answers on forget rows.",
        "-sum_c p_c log p_c, nats",
        "Golatkar et al. 2020, arXiv 1911.04933",
        "Uniform answers are not what a retrained model gives; not judged.",
    ),
    "own_share": Explanation(
        "Share of unseen rows of the forgotten classes whose answer is one of them.",
        "rows whose answer is a forgotten class / rows",
        "this project",
        "For one class it is the accuracy on it; of several, it also counts rows that are taken for another of them.",
    ),
    "neighbour_share": Explanation(
        "Share of unseen rows of the forgotten class given to the three classes to which the oracles send most.",
        "rows whose answer is one of the three / rows",
        "this project",
        "High also where all go to one of the three; assignment_distance tells.",
    ),
    "assignment_distance": Explanation(
        "Total variation between the share that each class receives here and with the oracles.",
        "sum_c |share_c - mean oracle share_c| / 2",
        "this project",
        "Oracles differ from one another too; the floor is their own.",
    ),
    "probe_accuracy": Explanation(
        "A logistic regression fitted on the frozen embedding of train rows of all classes, scored on unseen rows of "
        "the forgotten class.",
        "correct / rows",
        "Alain and Bengio 2017, arXiv 1610.01644",
        "High for a retrained model as well; only the excess is evidence.",
    ),
    "hidden_probe_accuracy": Explanation(
        "The same at about three quarters of the depth.", "correct / rows", "as probe_accuracy", "as probe_accuracy"
    ),
    "knn_accuracy": Explanation(
        "Majority of the ten nearest train rows (cosine), as many of the forgotten class as of a retained one.",
        "correct / rows",
        "Wu et al. 2018, arXiv 1805.01978 (nearest-neighbour evaluation)",
        "as probe_accuracy",
    ),
    "prototype_recovery": Explanation(
        "Share of unseen rows of the class nearer to the mean of five forget rows than to any retained class's mean.",
        "mean over 20 draws of the five",
        "Snell et al. 2017, arXiv 1703.05175",
        "What someone with five images could recover without training.",
    ),
    "within_class_cosine": Explanation(
        "Mean cosine between unseen rows of the forgotten class.",
        "mean over pairs of z_i . z_j",
        "neural collapse: Papyan et al. 2020, arXiv 2008.08186",
        "A class that was moved as a whole stays tight; a class never learned is spread.",
    ),
    "relearn_5": Explanation(
        "Mean accuracy over the steps of a fine-tune on 5 forget rows beside retain rows, on rows not trained on.",
        "mean of the curve over audit.relearn_steps steps",
        "Golatkar et al. 2020, arXiv 1911.04933 (relearn time)",
        "Depends on the learning rate; the oracles and an untrained model are drawn beside it.",
    ),
    "relearn_50": Explanation("The same with 50 forget rows.", "as relearn_5", "as relearn_5", "as relearn_5"),
    "relearn_5_steps": Explanation(
        "Steps of that fine-tune until half of the rows are right.", "first step >= 50%", "as relearn_5", "Coarse."
    ),
    "relearn_50_steps": Explanation("The same with 50 forget rows.", "first step >= 50%", "as relearn_5", "Coarse."),
    "rebound_accuracy": Explanation(
        "Accuracy on unseen rows of the forgotten class (a sample request: on the forget rows) after plain training on "
        "retain rows only.",
        "correct / rows after audit.rebound_steps steps",
        "this project; relearning without the data",
        "A shallow change is undone by ordinary further training.",
    ),
    **{
        f"{part}_{way}_r{top}": Explanation(
            f"Share of {words} that find a match among the {top} nearest; {rows}.",
            f"mean over queries of [a match is among the {top} nearest by cosine]",
            "Radford et al. 2021, arXiv 2103.00020, appendix E",
            "Zero-shot accuracy 0 can hide a caption that still finds its images: read both directions. Captions that "
            "are alike are one query, so caption to image may rest on few.",
        )
        for part, rows in (
            ("forget", "unseen rows of the class among the whole test set, or the forget rows among themselves"),
            ("retain", "test rows of everything else, or as many retain rows as forget rows"),
        )
        for way, words in (("i2t", "images"), ("t2i", "distinct captions"))
        for top in (1, 5, 10)
    },
    **{
        f"{part}_t2i_precision": Explanation(
            f"Of the R images that match a caption, the share among its R nearest, by distinct caption; {rows}.",
            "mean over captions of (matches among the R nearest / R)",
            "Manning et al. 2008, Introduction to Information Retrieval, sec. 8.4 (R-precision)",
            "R@1 of a class rests on as many queries as it has captions, often one; this one on all of its images. For "
            "captions with one image each it is R@1.",
        )
        for part, rows in (("forget", "as forget_t2i_r1"), ("retain", "as retain_t2i_r1"))
    },
    **{
        f"unseen_{way}_r1": Explanation(
            f"As forget_{way}_r1 for as many pairs that no model was trained on.",
            "as forget_i2t_r1",
            "as forget_i2t_r1",
            "Where forgotten pairs should come to lie; shown, not judged.",
        )
        for way in ("i2t", "t2i")
    },
    "best_template_accuracy": Explanation(
        "Zero-shot accuracy on unseen rows of the class under the single template that finds most of them.",
        "max over templates of correct / rows",
        "this project",
        "A concept forgotten in one wording may be there in another: the ensemble of templates hides it.",
    ),
    "best_paraphrase_accuracy": Explanation(
        "The same under the caption of audit.paraphrases that finds most of them.",
        "max over paraphrases of correct / rows",
        "this project",
        "Only as good as the paraphrases; words that the model never saw find nothing in an original either.",
    ),
    "other_data_accuracy": Explanation(
        "Zero-shot accuracy on the test rows of the data in audit.other_data, with the model's own templates.",
        "correct / rows",
        "Radford et al. 2021, arXiv 2103.00020, sec. 3.1",
        "Near chance says nothing: look at the original's first.",
    ),
    "prompt_distance": Explanation(
        "How far the text tower keeps the forgotten class's prompt from that of the nearest retained class.",
        "1 - max over retained classes of the cosine, mean over templates (interval: least and most)",
        "this project; what the text tower still says without any image",
        "Training of the image tower alone leaves it as it was; a retrained model may keep a word apart that it never "
        "read. Shown, not judged.",
    ),
    "hub_rate": Explanation(
        "Share of retained test images whose zero-shot answer is the forgotten class.",
        "rows given to it / rows",
        "this project; hubs: Radovanovic et al. 2010, JMLR 11",
        "A long push of captions alone can make the forgotten caption the nearest one to everything.",
    ),
    "mia_cosine_auc": Explanation(
        "How well a threshold on forget_margin tells forget rows from holdout rows.",
        "P(margin of a forget row > margin of a holdout row), ties half",
        "Ko et al. 2023, arXiv 2310.00108, sec. 3 (cosine attack on CLIP)",
        _CLASS_MATCHED,
    ),
    "forget_margin": Explanation(
        "Mean cosine of forgotten images with their own captions less that with retained captions.",
        "mean_i (u_i . v_i - mean_j u_i . v_j)",
        "Liang et al. 2022, arXiv 2203.02053 (the gap between modalities cancels)",
        "Below the oracle: pushed to the opposite, which no model that never saw the pair shows.",
    ),
}


def explain(name: str) -> str:
    """Describe one metric as text for the terminal.

    Args:
        name: Name of a metric or of a figure of the strong tier.

    Returns:
        Definition, formula, source and pitfalls, one per line.

    Raises:
        UserError: There is no such metric; the message lists the metrics.
    """
    if name in STRONG:
        return "\n".join([f"{name}: a figure of --tier strong", *_lines(STRONG[name])])
    if name not in EXPLANATIONS:
        near = difflib.get_close_matches(name, [*EXPLANATIONS, *STRONG], 1)
        hint = f"did you mean {near[0]}?" if near else f"metrics: {', '.join([*EXPLANATIONS, *STRONG])}."
        raise UserError(f"no metric {name!r}; {hint}")
    metric = METRICS[name]
    lower = {
        "forget": "above the oracle: under-forgotten; below: over-forgotten",
        "utility": "off the oracle in either direction: over-forgotten",
        "damage": "above the oracle: over-forgotten",
        "distance": "above what oracles have among themselves: over-forgotten",
        "projection": "above the oracle: under-forgotten; below: over-forgotten",
    }[metric.side]
    judged = f"{lower} ({' and '.join(metric.judged)} requests)" if metric.judged else "shown, not judged"
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
