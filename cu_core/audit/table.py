"""All audits and metrics, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cu_core.audit.accuracy import accuracies
from cu_core.audit.answers import Answers
from cu_core.audit.languages import languages
from cu_core.audit.membership import membership
from cu_core.audit.memorisation import memorisation
from cu_core.audit.more_audits import MORE_AUDITS, MORE_METRICS
from cu_core.audit.neighbours import neighbours
from cu_core.audit.noise import noise
from cu_core.audit.output_distance import output_distance
from cu_core.audit.rebound import rebound
from cu_core.audit.relearning import relearning
from cu_core.audit.representation import representation
from cu_core.audit.retrieval import retrieval
from cu_core.audit.subject import AuditConfig, AuditName, Findings, Subject
from cu_core.audit.table_rows import ALL, CLASS, SAMPLE, Audit, Metric
from cu_core.audit.unseen_style import unseen_style
from cu_core.audit.views import views
from cu_core.audit.wordings import wordings
from cu_core.types import MetricResult, RequestKind

AUDITS: Mapping[AuditName, Audit] = {
    "accuracy": Audit("Accuracy", "Does it answer as a retrained model does?", accuracies),
    "membership": Audit(
        "Membership attacks", "Can an attacker tell that the rows were trained on?", membership, between=memorisation
    ),
    "output_distance": Audit(
        "Output distance", "Are its answers, row by row, those of a retrained model?", against=output_distance
    ),
    "neighbours": Audit(
        "Neighbouring classes",
        "Does the forgotten class go where a retrained model sends it?",
        against=neighbours,
        kinds=CLASS,
    ),
    "representation": Audit("Representation", "Is the class still in the features?", representation, kinds=CLASS),
    "relearning": Audit(
        "Relearning", "Is it learned again faster than by a retrained model?", relearning, needs_classes=False
    ),
    "rebound": Audit("Rebound", "Does it come back by training on retain rows alone?", rebound, needs_classes=False),
    "noise": Audit(
        "Noise", "Do small changes of the pixels bring forget rows back to their class?", noise, classifiers_only=True
    ),
    "views": Audit(
        "Views of encoders", "Are views of a forget row as alike as those of an unseen row?", views, encoders_only=True
    ),
    "retrieval": Audit(
        "Retrieval", "Is it still found by search, in any wording?", retrieval, pairs_only=True, needs_classes=False
    ),
    "wordings": Audit("Wordings", "Is it still found in other words?", wordings, pairs_only=True, needs_classes=False),
    "languages": Audit(
        "Languages", "Is it still found in other languages?", languages, pairs_only=True, needs_classes=False
    ),
    "unseen_style": Audit(
        "Unseen style",
        "Is it still recognised in images of a style that was not trained on?",
        unseen_style,
        pairs_only=True,
    ),
    **MORE_AUDITS,
}


NATS = 100 / 0.6931471805599453
"""Jensen-Shannon divergence to percent of its maximum, log 2."""
_SIDES: tuple[tuple[str, str, Literal["forget", "utility"]], ...] = (
    ("forget", "forgotten", "forget"),
    ("retain", "retained", "utility"),
)


class _Metrics(dict[str, Metric]):
    """Table of metrics that also knows parts.

    ``name/c`` is the metric ``name`` of the forgotten class ``c`` alone, or in the language ``c`` alone.
    """

    def __missing__(self, name: str) -> Metric:
        base, _, number = name.partition("/")
        if number and self[base].by_language:
            return replace(self[base], title=f"{self[base].title}, {number}", by_language=False, judged=())
        if not number or not self[base].by_class:
            raise KeyError(name)
        return replace(self[base], title=f"{self[base].title}, class {number}", in_gap=False, by_class=False)


METRICS: Mapping[str, Metric] = _Metrics(
    {
        "forget_accuracy": Metric("accuracy", "forget set, train (%)", "forget", in_gap=True, judged=SAMPLE),
        "forget_all_accuracy": Metric("accuracy", "forget set, train, all rows (%)", "forget"),
        "forget_test_accuracy": Metric(
            "accuracy", "forgotten class, test (%)", "forget", CLASS, in_gap=True, judged=CLASS, by_class=True
        ),
        "retain_accuracy": Metric("accuracy", "retain set, train (%)", "utility", in_gap=True),
        "test_accuracy": Metric("accuracy", "retain, test (%)", "utility", in_gap=True, judged=ALL),
        "mia_auc": Metric("membership", "MIA AUC, loss (x100)", "forget", scale=100, in_gap=True, judged=SAMPLE),
        "mia_tpr_low_fpr": Metric("membership", "MIA TPR at a low FPR (%)", "forget"),
        "mia_entropy_auc": Metric("membership", "MIA AUC, entropy (x100)", "forget", scale=100),
        "mia_modified_entropy_auc": Metric("membership", "MIA AUC, modified entropy (x100)", "forget", scale=100),
        "mia_correct_auc": Metric("membership", "MIA AUC, correctness (x100)", "forget", scale=100),
        "mia_logistic_auc": Metric("membership", "MIA AUC, logistic (x100)", "forget", scale=100),
        "memorisation_left": Metric(
            "membership", "memorisation left (% of the original's)", "projection", SAMPLE, judged=SAMPLE, weight=4.0
        ),
        "member_prediction_rate": Metric("membership", "forget rows taken for members (%)", "forget"),
        "forget_js": Metric(
            "output_distance",
            "Jensen-Shannon to oracles, forget (% of max)",
            "distance",
            scale=NATS,
            judged=ALL,
            towards="forget_confidence",
        ),
        "test_js": Metric("output_distance", "Jensen-Shannon to oracles, test (% of max)", "distance", scale=NATS),
        "forget_tv": Metric("output_distance", "total variation, forget (%)", "distance", scale=100),
        "test_tv": Metric("output_distance", "total variation, test (%)", "distance", scale=100),
        "forget_confidence": Metric("output_distance", "probability of the own label, forget (%)", "forget", scale=100),
        "forget_entropy": Metric("output_distance", "entropy of forget rows (nats x100)", "utility", scale=100),
        "own_share": Metric("neighbours", "stays in the forgotten class (%)", "forget", CLASS),
        "neighbour_share": Metric("neighbours", "forgotten class to its 3 nearest (%)", "utility", CLASS),
        "assignment_distance": Metric("neighbours", "classes it goes to, distance (%)", "distance", CLASS),
        "probe_accuracy": Metric("representation", "linear probe, forgotten class (%)", "forget", CLASS),
        "hidden_probe_accuracy": Metric("representation", "linear probe, 3/4 of depth (%)", "forget", CLASS),
        "knn_accuracy": Metric("representation", "nearest neighbours, forgotten class (%)", "forget", CLASS),
        "prototype_recovery": Metric(
            "representation", "5-shot recovery, forgotten class (%)", "forget", CLASS, judged=CLASS, by_class=True
        ),
        "imprinted_accuracy": Metric("representation", "5-shot row of the head, forgotten class (%)", "forget", CLASS),
        "within_class_cosine": Metric(
            "representation", "cosine within the class (x100)", "forget", CLASS, scale=100, judged=CLASS, by_class=True
        ),
        "relearn_5": Metric("relearning", "relearned from 5 rows, mean (%)", "forget", judged=CLASS),
        "relearn_50": Metric("relearning", "relearned from 50 rows, mean (%)", "forget"),
        "relearn_5_steps": Metric("relearning", "steps to half, 5 rows", "utility"),
        "relearn_50_steps": Metric("relearning", "steps to half, 50 rows", "utility"),
        "rebound_accuracy": Metric("rebound", "rebound on retain data (%)", "forget"),
        "noise_random": Metric("noise", "forget rows back under random noise (%)", "forget"),
        "noise_pgd": Metric("noise", "forget rows back under PGD (%)", "forget"),
        "forget_alignment": Metric("views", "distance of views of a forget row (x100)", "damage", scale=100),
        "forget_uniformity": Metric("views", "uniformity of forget rows (x100)", "damage", scale=100),
        "mia_view_auc": Metric("views", "MIA AUC, views (x100)", "forget", scale=100),
        "forget_i2t_r1": Metric("retrieval", "forgotten, image to caption R@1 (%)", "forget", in_gap=True, judged=ALL),
        "forget_t2i_precision": Metric(
            "retrieval", "forgotten, caption to image precision (%)", "forget", in_gap=True, judged=ALL
        ),
        "forget_t2i_r1": Metric("retrieval", "forgotten, caption to image R@1 (%)", "forget"),
        "retain_i2t_r1": Metric("retrieval", "retained, image to caption R@1 (%)", "utility", in_gap=True, judged=ALL),
        "retain_t2i_precision": Metric(
            "retrieval", "retained, caption to image precision (%)", "utility", in_gap=True, judged=ALL
        ),
        "retain_t2i_r1": Metric("retrieval", "retained, caption to image R@1 (%)", "utility"),
        **{
            f"{part}_{way}_r{top}": Metric("retrieval", f"{state}, {words} R@{top} (%)", side)
            for part, state, side in _SIDES
            for way, words in (("i2t", "image to caption"), ("t2i", "caption to image"))
            for top in (5, 10)
        },
        "unseen_i2t_r1": Metric("retrieval", "unseen pairs, image to caption R@1 (%)", "utility", SAMPLE),
        "unseen_t2i_r1": Metric("retrieval", "unseen pairs, caption to image R@1 (%)", "utility", SAMPLE),
        "best_template_accuracy": Metric("retrieval", "forgotten class, best template (%)", "forget", CLASS),
        "best_paraphrase_accuracy": Metric("retrieval", "forgotten class, best paraphrase (%)", "forget", CLASS),
        "other_data_accuracy": Metric("retrieval", "other data, zero-shot (%)", "utility"),
        "prompt_distance": Metric("retrieval", "its prompt to the nearest other (x100)", "forget", CLASS, scale=100),
        "hub_rate": Metric("retrieval", "retained images given to it (%)", "damage", CLASS, judged=CLASS),
        "mia_cosine_auc": Metric("retrieval", "MIA AUC, cosine of the pair (x100)", "forget", scale=100, judged=SAMPLE),
        "forget_margin": Metric("retrieval", "cosine matched - unmatched (x100)", "forget", scale=100),
        "wording_best": Metric("wordings", "found by the most telling wording (%)", "forget", judged=ALL),
        "wording_precision": Metric("wordings", "found in other words, mean (%)", "forget"),
        "wording_template": Metric("wordings", "found by other sentences (%)", "forget"),
        "wording_plural": Metric("wordings", "found by the plural (%)", "forget", CLASS),
        "wording_misspelling": Metric("wordings", "found by misspellings (%)", "forget"),
        "wording_synonym": Metric("wordings", "found by synonyms (%)", "forget"),
        "language_precision": Metric(
            "languages", "found in other languages (%)", "forget", judged=ALL, by_language=True
        ),
        "language_retain_precision": Metric("languages", "retained, found in other languages (%)", "utility"),
        "unseen_style_accuracy": Metric("unseen_style", "forgotten, zero-shot (%)", "forget", judged=ALL),
        "unseen_style_precision": Metric("unseen_style", "forgotten, caption to image precision (%)", "forget"),
        "unseen_style_retain_accuracy": Metric("unseen_style", "retained, zero-shot (%)", "utility"),
        "unseen_style_retain_precision": Metric("unseen_style", "retained, caption to image precision (%)", "utility"),
        **MORE_METRICS,
    }
)


def audits_of(kind: RequestKind, config: AuditConfig) -> dict[AuditName, Audit]:
    """Return the audits that are run for this kind of request."""
    usual = [name for name, audit in AUDITS.items() if not audit.on_request]
    wanted = {*(usual if config.audits is None else config.audits), *config.more_audits}
    return {name: audit for name, audit in AUDITS.items() if name in wanted and kind in audit.kinds}


def metrics_of(kind: RequestKind, config: AuditConfig, classes: Sequence[int] = ()) -> dict[str, Metric]:
    """Return the metrics that are computed, in the order of the table.

    Args:
        kind: Kind of the request.
        config: Configuration of the audit.
        classes: Forgotten classes. If there are several, each metric is followed by its parts for single classes.

    Returns:
        Name -> metric.
    """
    audits = audits_of(kind, config)
    names = [name for name, metric in METRICS.items() if kind in metric.kinds and metric.audit in audits]
    parts = {name: [*parts_of(name, classes), *_languages_of(name, config)] for name in names}
    return {part: METRICS[part] for name in names for part in (name, *parts[name])}


def parts_of(name: str, classes: Sequence[int]) -> list[str]:
    """Return the names of a metric for each forgotten class; empty if there is only one class."""
    return [f"{name}/{c}" for c in classes] if METRICS[name].by_class and len(classes) > 1 else []


def _languages_of(name: str, config: AuditConfig) -> list[str]:
    return [f"{name}/{tag}" for tag in config.languages] if METRICS[name].by_language else []


@dataclass(frozen=True)
class Claim:
    """What a verdict is about; determines, before any figure is seen, what is judged and what must have power."""

    kind: RequestKind
    classes: tuple[int, ...] = ()
    """Forgotten classes; empty for samples."""
    pairs: bool = False
    """Of an image-text model."""
    labelled: bool = True
    """Whether the data has classes."""
    more: tuple[AuditName, ...] = ()
    """Audits that were asked for by ``audit.more_audits``."""

    @property
    def judged(self) -> tuple[str, ...]:
        """Names of the primary metrics; they do not depend on which audits were run, except for those of ``more``."""
        usual, further = self._primary(False), self._primary(True)
        return (*usual, *(name for name in further if METRICS[name].audit in self.more))

    def error_share(self, name: str) -> float:
        """Return the share of the family error that belongs to a metric.

        All audits that are made on request share a second family error, whether they were run or not. So no tolerance
        depends on which of them were asked for.
        """
        family = self._primary(AUDITS[METRICS[name].audit].on_request)
        return METRICS[name].weight / sum(METRICS[other].weight for other in family)

    def _primary(self, on_request: bool) -> list[str]:
        found = []
        for name, metric in METRICS.items():
            audit = AUDITS[metric.audit]
            fits = (self.pairs or not audit.pairs_only) and (self.labelled or not audit.needs_classes)
            if self.kind in metric.judged and fits and audit.on_request == on_request:
                found += parts_of(name, self.classes) or [name]
        return found

    @property
    def audits(self) -> tuple[AuditName, ...]:
        """Audits that this request cannot do without: each must have power."""
        if not self.labelled:
            return ("retrieval",)
        return ("accuracy", "representation", "relearning") if self.kind == "class" else ("membership",)


def audit_alone(subject: Subject) -> Findings:
    """Run every audit that needs only the model."""
    audits = audits_of(subject.split.forget.kind, subject.config).values()
    few = subject.split.reader.manifest.num_classes < 2
    parts = [a.alone(subject) for a in audits if a.alone and not (few and a.needs_classes)]
    return Findings(
        {name: value for part in parts for name, value in part.metrics.items()},
        {name: curve for part in parts for name, curve in part.curves.items()},
    )


def audit_against(
    kind: RequestKind, config: AuditConfig, answers: Answers, references: Sequence[Answers], original: Answers
) -> dict[str, MetricResult]:
    """Run every audit that compares answers with those of the oracles.

    Args:
        kind: Kind of the request.
        config: Configuration of the audit.
        answers: Answers of the audited model.
        references: Answers of the oracles.
        original: Answers of the original.

    Returns:
        Name -> result; empty for data with fewer than two classes.
    """
    if answers.forget.shape[1] < 2:
        return {}
    audits = audits_of(kind, config).values()
    parts = [a.against(answers, references) for a in audits if a.against]
    parts += [a.between(answers, references, original) for a in audits if a.between]
    return {name: value for part in parts for name, value in part.items() if kind in METRICS[name].kinds}
