"""Audits of image-text models that are made on request (``audit.more_audits``), and their metrics."""

from __future__ import annotations

from collections.abc import Mapping

from cu_core.audit.compositions import compositions
from cu_core.audit.hubness import hubness
from cu_core.audit.image_search import image_search
from cu_core.audit.near_concepts import near_concepts
from cu_core.audit.prompt_search import prompt_search
from cu_core.audit.subject import AuditName
from cu_core.audit.table_rows import ALL, CLASS, Audit, Metric

MORE_AUDITS: Mapping[AuditName, Audit] = {
    "near_concepts": Audit(
        "Nearest concepts",
        "How much are concepts damaged, by how near they are to the forgotten one?",
        between=near_concepts,
        kinds=CLASS,
        pairs_only=True,
        on_request=True,
    ),
    "hubness": Audit(
        "Hubness",
        "Has it become a hub, which is found for whatever is searched?",
        hubness,
        pairs_only=True,
        needs_classes=False,
        on_request=True,
    ),
    "image_search": Audit(
        "Search by image",
        "Do its images still find one another?",
        image_search,
        pairs_only=True,
        needs_classes=False,
        on_request=True,
    ),
    "compositions": Audit(
        "Compositions",
        "Is an image that shows it and another concept still found by the other one?",
        compositions,
        kinds=CLASS,
        pairs_only=True,
        on_request=True,
    ),
    "prompt_search": Audit(
        "Prompt search",
        "Does any text, made of any tokens, still find it?",
        prompt_search,
        pairs_only=True,
        needs_classes=False,
        on_request=True,
    ),
}
MORE_METRICS: Mapping[str, Metric] = {
    "near_accuracy_5": Metric("near_concepts", "the 5 nearest concepts (%)", "utility", CLASS, judged=CLASS),
    "near_accuracy_20": Metric("near_concepts", "ranks 6 to 20 (%)", "utility", CLASS),
    "near_accuracy_100": Metric("near_concepts", "ranks 21 to 100 (%)", "utility", CLASS),
    "near_accuracy_rest": Metric("near_concepts", "ranks from 101 on (%)", "utility", CLASS),
    "caption_occurrence": Metric("hubness", "forgotten among captions of retained images (%)", "damage"),
    "caption_occurrence_max": Metric(
        "hubness", "retained images near the most frequent forgotten caption (%)", "damage", judged=ALL
    ),
    "image_occurrence": Metric("hubness", "forgotten among images of retained captions (%)", "damage"),
    "image_occurrence_max": Metric(
        "hubness", "retained captions near the most frequent forgotten image (%)", "damage", judged=ALL
    ),
    "image_search_precision": Metric("image_search", "forgotten, image to image precision (%)", "forget", judged=ALL),
    "image_search_retain_precision": Metric("image_search", "retained, image to image precision (%)", "utility"),
    "composition_found": Metric("compositions", "found by the other concept (%)", "utility", CLASS, judged=CLASS),
    "composition_forgotten_found": Metric("compositions", "found by the forgotten concept (%)", "forget", CLASS),
    "prompt_search_precision": Metric("prompt_search", "found by the best text (%)", "forget", judged=ALL),
    "prompt_search_margin": Metric("prompt_search", "cosine of the best text, its margin (x100)", "forget", scale=100),
    "prompt_search_fit": Metric("prompt_search", "the same, images it was fitted to (%)", "forget"),
}
MISSING: Mapping[AuditName, str] = {
    "near_concepts": "there are no retained concepts of such ranks",
    "hubness": "no forgotten caption differs from those of retained images, or nothing is retained",
    "image_search": "no image has another one of its kind",
    "compositions": "no test image has a caption that names a forgotten class and another one",
    "prompt_search": "the text tower has no embedding of tokens, or a half of the images has none",
}
"""Why an audit that was made found nothing."""
