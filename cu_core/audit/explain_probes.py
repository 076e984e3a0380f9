"""Explanations of descriptive probes: a made row of the head, noise, views of encoders."""

from __future__ import annotations

from collections.abc import Mapping

from cu_core.audit.explanation import Explanation

CLASS_MATCHED = (
    "Members are forget rows. Non-members are holdout rows, weighted to the same class frequencies. Below 0.5, the "
    "model knows the forget rows less than unseen rows. A retrained model does not show this either: over-forgotten."
)
PROBES: Mapping[str, Explanation] = {
    "imprinted_accuracy": Explanation(
        "Accuracy on unseen rows of the class after its row of the head is replaced by one that is made of five forget "
        "rows, without training. The rows of the retained classes stay.",
        "logit of the class: mean_k l_k(z) + s (p - m) . (z - m) / |p - m|; l_k: logits of the retained classes; p: "
        "mean of five forget rows in the embedding; m: mean of the retained classes' means; s: mean slope of l_k from "
        "m to the mean of class k. Mean over 20 draws of the five rows",
        "Ha et al. 2025, arXiv 2506.01318 (prototypical relearning attack); Qi et al. 2018, arXiv 1712.07136 "
        "(imprinted weights)",
        "A retrained model recognises part of a new class in this way too. Only the excess over the oracle is "
        "evidence. prototype_recovery replaces the whole head; this figure keeps the rest of it. Not judged.",
    ),
    "noise_random": Explanation(
        "Fraction of forget rows that the model answers wrongly, but correctly once uniform noise of at most "
        "audit.noise_levels (of 255) is added to each pixel.",
        "mean over 10 draws of (rows wrong without and correct with the noise / rows)",
        "Hsu et al. 2025, arXiv 2601.22359 (residual knowledge)",
        "Rows that are correct without noise do not count: read it beside forget_accuracy. At most 500 rows, drawn "
        "with the seed. Classifiers only. Not judged.",
    ),
    "noise_pgd": Explanation(
        "As noise_random, with the perturbation that projected gradient descent finds in 5 steps towards the label.",
        "x <- clip(x - 2.5 e / 5 sign(grad cross-entropy(x, label)), x_0 - e, x_0 + e), e = audit.noise_levels",
        "Madry et al. 2018, arXiv 1706.06083, sec. 2.1; Hsu et al. 2025, arXiv 2601.22359",
        "With a large enough perturbation any model gives any answer, a retrained one too. Only the excess over the "
        "oracle is evidence. At most 500 rows. Classifiers only. Not judged.",
    ),
    "forget_alignment": Explanation(
        "Mean squared distance between the embeddings of two random views of the same forget row, at length one. Only "
        "of encoders that were trained by contrast.",
        "mean of |f(x) - f(x+)|^2 over rows and pairs of ten views",
        "Wang and Isola 2020, arXiv 2005.10242 (alignment)",
        "Below the oracle, views of the rows are still as close as those of training rows. It is also 0 for an encoder "
        "that maps everything to one point: read it beside forget_uniformity. Not judged.",
    ),
    "forget_uniformity": Explanation(
        "How evenly the forget rows are spread over the sphere: logarithm of the mean Gaussian potential of two rows. "
        "Only of encoders that were trained by contrast.",
        "log mean exp(-2 |f(x) - f(y)|^2) over pairs of forget rows, one view of each",
        "Wang and Isola 2020, arXiv 2005.10242 (uniformity)",
        "0 means one point; lower means more spread. A single class is less spread than all rows. Not judged.",
    ),
    "mia_view_auc": Explanation(
        "How well the similarity of ten views of a row separates forget rows from holdout rows; it needs no label and "
        "no head. Only of encoders that were trained by contrast.",
        "P(mean cosine of the views of a forget row > that of a holdout row), ties count half",
        "Liu et al. 2021, arXiv 2108.11023 (EncoderMI, threshold attack)",
        f"{CLASS_MATCHED} Not judged.",
    ),
}
