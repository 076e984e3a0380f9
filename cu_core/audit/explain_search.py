"""Explanations of the metrics of wordings, languages and unseen styles, in the form of ``explain.py``."""

from __future__ import annotations

from collections.abc import Mapping

from cu_core.audit.explanation import Explanation

_RETRIEVAL = "Manning et al. 2008, Introduction to Information Retrieval, sec. 8.4"
SEARCH: Mapping[str, Explanation] = {
    "wording_best": Explanation(
        "R-precision of the text, of many that say the concept in other words, that finds most of its images: "
        "sentences with its name, the plural, misspellings, audit.paraphrases and captions of forget rows without the "
        "name.",
        "mean over classes (sample requests: first captions) of max over texts of (own images among the R nearest) / R",
        _RETRIEVAL,
        "A maximum over texts is above 0 for oracles too: related words find some images of a concept that was never "
        "seen. Plurals and templates are English.",
    ),
    "wording_precision": Explanation(
        "The mean of the texts of wording_best.",
        "mean over texts of (own images among the R nearest) / R",
        _RETRIEVAL,
        "One text of fifty that still finds everything changes it by two points. Look at wording_best.",
    ),
    "wording_template": Explanation(
        "wording_precision of sentences that hold the name (sample requests: the first caption).",
        "as wording_precision",
        _RETRIEVAL,
        "If only the name is remapped in the text tower, these texts find nothing, and synonyms still do.",
    ),
    "wording_plural": Explanation(
        "wording_precision of the regular English plural of the name.",
        "as wording_precision",
        _RETRIEVAL,
        "Irregular plurals come out wrong, as a misspelling would be; give the right one in audit.paraphrases.",
    ),
    "wording_misspelling": Explanation(
        "wording_precision of the name with two letters swapped, one left out and one doubled in its longest word.",
        "as wording_precision",
        _RETRIEVAL,
        "A tokenizer of words splits a misspelled word into pieces that it shares with unrelated words.",
    ),
    "wording_synonym": Explanation(
        "wording_precision of audit.paraphrases, and of captions of forget rows that lack the name and that no "
        "measured retain row has (sample requests: further captions of a row).",
        "as wording_precision",
        _RETRIEVAL,
        "Keywords of a concept may fit retained images as well; oracles find some by them too.",
    ),
    "language_precision": Explanation(
        "R-precision of the captions of forgotten images in audit.languages, mean over the languages; and of each.",
        "mean over captions of (own images among the R nearest) / R",
        _RETRIEVAL,
        "It is low for every model if the text tower does not know the language: see language_retain_precision.",
    ),
    "language_retain_precision": Explanation(
        "The same for retained images, by up to 2,000 captions a language.",
        "as language_precision",
        _RETRIEVAL,
        "Near 0 for the original, the text tower does not know the languages, and the audit shows nothing.",
    ),
    "unseen_style_accuracy": Explanation(
        "Zero-shot accuracy on images of what is forgotten in a style (audit.style_column) that no training row has.",
        "correct / rows",
        "this project",
        "The style is unseen, the concept is not: an oracle knows neither. There are often few such images.",
    ),
    "unseen_style_precision": Explanation(
        "R-precision with which the prompt of a forgotten class finds its images among all images of unseen styles.",
        "mean over classes of (own images among the R nearest) / R",
        _RETRIEVAL,
        "As unseen_style_accuracy.",
    ),
    "unseen_style_retain_accuracy": Explanation(
        "unseen_style_accuracy of everything else.",
        "correct / rows",
        "this project",
        "It is below the test accuracy if a style differs much from those trained on.",
    ),
    "unseen_style_retain_precision": Explanation(
        "unseen_style_precision of everything else.",
        "as unseen_style_precision",
        _RETRIEVAL,
        "As unseen_style_retain_accuracy.",
    ),
}
