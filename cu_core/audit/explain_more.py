"""Explanations of the metrics of audits that are made on request, in the form of ``explain.py``."""

from __future__ import annotations

from collections.abc import Mapping

from cu_core.audit.explanation import Explanation

_RETRIEVAL = "Manning et al. 2008, Introduction to Information Retrieval, sec. 8.4"
_HUBS = "Radovanovic et al. 2010, Hubs in Space, JMLR 11, sec. 2.1 (k-occurrences)"
_SEARCH = "search: Zou et al. 2023, arXiv 2307.15043, alg. 1; read against oracles: this project"


def _near(ranks: str) -> Explanation:
    return Explanation(
        f"Zero-shot accuracy on test rows of the retained classes of rank {ranks}. Rank 1 is the class whose prompt is "
        "nearest to a prompt of a forgotten class in the original.",
        "correct / rows",
        "this project",
        "Ranks are those of the original for every model. A retrained model may be better on neighbours than the "
        "original, since it has one class less to confuse: read the difference to the oracles.",
    )


MORE: Mapping[str, Explanation] = {
    "near_accuracy_5": _near("1 to 5"),
    "near_accuracy_20": _near("6 to 20"),
    "near_accuracy_100": _near("21 to 100"),
    "near_accuracy_rest": _near("101 and above"),
    "caption_occurrence": Explanation(
        "Retained test images search for captions. Percentage of their k nearest captions that are captions of "
        "forgotten images alone; k is 10, but at most a tenth of all captions.",
        "sum of N_k over forgotten captions / (k x images)",
        _HUBS,
        "Related concepts share neighbours, so it is above 0 for oracles too.",
    ),
    "caption_occurrence_max": Explanation(
        "Percentage of retained test images that have the most frequent forgotten caption among their k nearest.",
        "max of N_k over forgotten captions / images",
        _HUBS,
        "A maximum grows with the number of forgotten captions, for oracles as well.",
    ),
    "image_occurrence": Explanation(
        "Captions of retained test images search for images. Percentage of their k nearest images that are forgotten.",
        "sum of N_k over forgotten images / (k x captions)",
        _HUBS,
        "Forgotten images of a sample request may share captions with retained images.",
    ),
    "image_occurrence_max": Explanation(
        "Percentage of retained captions that have the most frequent forgotten image among their k nearest.",
        "max of N_k over forgotten images / captions",
        _HUBS,
        "As caption_occurrence_max. With few captions it moves in large steps.",
    ),
    "image_search_precision": Explanation(
        "R-precision of search by image: the share of the R nearest images that are of the same forgotten class, where "
        "R is their number (sample requests: that have the same first caption).",
        "mean over images of (others of the kind among the R nearest) / R",
        _RETRIEVAL,
        "Images that look alike find one another in an oracle too. No text is involved, so a change of the text tower "
        "does not alter it.",
    ),
    "image_search_retain_precision": Explanation(
        "image_search_precision of retained images, of up to 2,000 of them.",
        "as image_search_precision",
        _RETRIEVAL,
        "Classes of one image have nothing to find and are left out.",
    ),
    "composition_found": Explanation(
        "Test images with a caption that names a forgotten and another class: percentage that the prompt of the other "
        "class finds among the R nearest, where R is the number of images whose captions name that class.",
        "found / (image, other class)",
        "this project",
        "There are often few such captions. A class counts as named only by its name, not by synonyms.",
    ),
    "composition_forgotten_found": Explanation(
        "composition_found by the prompt of the forgotten class.",
        "as composition_found",
        "this project",
        "Not judged: composed images may stay in training if they are rows of another class.",
    ),
    "prompt_search_precision": Explanation(
        "R-precision, on unseen images, of the best text of 4 tokens that a search with gradients finds: 4 restarts of "
        "20 steps, 64 texts each. It is fitted on one half of the images and measured on the other.",
        "mean over up to 3 forgotten classes of (own images among the R nearest) / R",
        _SEARCH,
        "An oracle is searched with the same budget and finds something too; only the difference counts. The tokens "
        "need not spell a text. A search that fails proves nothing.",
    ),
    "prompt_search_margin": Explanation(
        "Mean cosine of that text with forgotten images minus that with retained ones, on the unseen half.",
        "mean cosine(own) - mean cosine(others)",
        _SEARCH,
        "Scales of cosines differ between models.",
    ),
    "prompt_search_fit": Explanation(
        "prompt_search_precision on the half of the images by which the text was found.",
        "as prompt_search_precision",
        _SEARCH,
        "Far above prompt_search_precision, the text fits single images and not the concept.",
    ),
}
