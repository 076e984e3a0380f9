"""Relearning: how fast does a model learn a few forget rows again, compared with models that never saw them?"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cu_core.audit.subject import Findings, Subject
from cu_core.data.forget_split import ForgetSplit, RowSet
from cu_core.data.loader import Batches, UnlearnStream
from cu_core.data.order import EpochOrder, Rows
from cu_core.dist import global_counts
from cu_core.methods.base import Method, StepContext, share
from cu_core.methods.fit import fit_share
from cu_core.metrics.accuracy import accuracy
from cu_core.models.batch_norm import set_batch_norm
from cu_core.models.classifier import Classifier, JointForward
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt
from cu_core.types import Losses, MetricResult, Tokenize, UnlearnBatch
from cu_core.unlearn.evaluate import predict, right_answers
from cu_core.unlearn.loop import Loop, run_loop
from cu_core.unlearn.optim import OptimizerConfig

SHOTS = (5, 50)
MAX_ROWS = 300
MOST_CLASSES = 200
"""Most classes from which an image-text model chooses, if its text tower trains: their prompts are embedded again after
each step."""
LEARNED = 50.0


@dataclass(frozen=True, kw_only=True)
class Relearn(Method):
    """Training loss of the shots plus that of retain rows: a constant answer does not count as learning."""

    name: Literal["relearn"] = "relearn"
    source: ClassVar[str] = "audit"

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        """Fit the shots and the retain rows together."""
        out = context.forward(batch.inputs)
        device = batch.retain.labels.device
        num_forget, num_retain = global_counts(len(batch.forget), len(batch.retain), device=device)
        forget = fit_share(out, batch.parts, "forget", num_forget, against=["retain"])
        return share(forget + fit_share(out, batch.parts, "retain", num_retain))


class ShotStream(UnlearnStream):
    """Stream with the same few forget rows in every step, and fresh retain rows."""

    def __init__(self, split: ForgetSplit, batches: Batches, seed: int, shots: Rows, tokenize: Tokenize | None):
        super().__init__(split, batches, seed, tokenize)
        self.shots = shots

    def rows(self, step: int) -> tuple[Rows, Rows]:
        """Return the shots and the retain rows of a step."""
        return self.shots, super().rows(step)[1]


def relearning(subject: Subject) -> Findings:
    """Fine-tune on 5 and on 50 forget rows (shots) and measure how fast the accuracy returns.

    The accuracy (percent) is measured after each step on rows of the forgotten class that were never trained on (sample
    requests: on the other forget rows). Two metrics: its mean over the steps, and the number of steps until 50%, which
    is one more than the number of steps if 50% is not reached. There is no metric where twice the shots exceed the
    forget rows.

    An image-text model of more than ``MOST_CLASSES`` classes whose text tower trains chooses from so many: those of the
    measured rows, and others drawn at random.
    """
    metrics: dict[str, MetricResult] = {}
    curves = {}
    for count in SHOTS:
        if len(_candidates(subject.split)) < 2 * count:
            continue
        curve, rows = _relearn(subject, count)
        curves[f"relearn_{count}"] = curve
        mean = min(100.0, float(np.mean(curve[1:])))
        half = 196 * np.sqrt(max(mean / 100 * (1 - mean / 100), 0) / rows)
        metrics[f"relearn_{count}"] = MetricResult(mean, rows, max(0.0, mean - half), min(100.0, mean + half))
        learned = [step for step, value in enumerate(curve) if value >= LEARNED]
        metrics[f"relearn_{count}_steps"] = MetricResult(float(learned[0] if learned else len(curve)), rows)
    return Findings(metrics, curves)


def _candidates(split: ForgetSplit) -> Rows:
    """Rows from which the shots are drawn."""
    return split.forget.rows if split.forget.kind == "class" else split.forget_reported.rows


def _relearn(subject: Subject, count: int) -> tuple[list[float], int]:
    """Return the accuracies after 0, 1, ... steps, and the number of rows behind each."""
    split, config = subject.split, subject.config
    rows = _candidates(split)
    rng = np.random.default_rng([subject.seed, Salt.RELEARN_ORDER, count])
    shots = np.sort(rng.choice(rows, count, replace=False))
    unseen = RowSet("train", np.setdiff1d(rows, shots))
    judged = split.forget_test if split.forget.kind == "class" else unseen
    judged = RowSet(judged.split, rng.permutation(judged.rows)[:MAX_ROWS])
    model = copy.deepcopy(subject.model)
    set_batch_norm(model, "per_rank")

    classes = _chosen_from(model, split.reader.labels(judged.split, judged.rows))

    def measure() -> float:
        if classes is None:
            return accuracy(right_answers(model, split.reader, judged)).value
        found = predict(model, split.reader, judged)
        return accuracy(classes[found.logits.argmax(1)] == found.labels).value

    batches = Batches(forget_batch=len(shots), retain_batch=min(config.rebound_batch, split.num_retain), omega=1)
    with _only(model, classes):
        curve = [measure()]
        run_loop(
            Loop(
                model=model,
                forward=JointForward(model),
                method=Relearn(),
                max_steps=config.relearn_steps,
                stream=ShotStream(split, batches, subject.seed + Salt.RELEARN_ORDER, shots, model.tokenize),
                optimizer=OptimizerConfig(name=config.optimizer, lr=config.relearn_lr),
                on_step=lambda report: curve.append(measure()),
            )
        )
    return curve, len(judged)


def _only(model: Classifier, classes: Rows | None) -> AbstractContextManager[None]:
    if classes is None or not isinstance(model, ImageTextClassifier):
        return nullcontext()
    return model.among(classes.tolist())


def _chosen_from(model: Classifier, own: Rows) -> Rows | None:
    """Return the classes from which a model chooses, if they are not all."""
    if not isinstance(model, ImageTextClassifier) or model.prompts.shape[1] <= MOST_CLASSES:
        return None
    if not any(weight.requires_grad for weight in model.body.parameters_of("text")):
        return None  # the prompts are embedded once
    own = np.unique(own)
    drawn = EpochOrder(model.prompts.shape[1], Salt.RELEARN_CLASSES).at(0, model.prompts.shape[1])
    others = drawn[~np.isin(drawn, own)][: max(0, MOST_CLASSES - len(own))]
    return np.sort(np.concatenate([own, others]))
