"""Rebound: does what was forgotten come back when training continues on retain rows only?"""

from __future__ import annotations

import copy
from contextlib import nullcontext

from cu_core.audit.subject import Findings, Subject
from cu_core.data.loader import Batches, UnlearnStream
from cu_core.methods.finetune import FineTune
from cu_core.metrics.accuracy import accuracy
from cu_core.models.batch_norm import set_batch_norm
from cu_core.models.classifier import JointForward
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt
from cu_core.unlearn.evaluate import right_answers
from cu_core.unlearn.loop import Loop, run_loop
from cu_core.unlearn.optim import OptimizerConfig


def rebound(subject: Subject) -> Findings:
    """Compute ``rebound_accuracy``: accuracy after plain training on retain rows (momentum 0.9 with SGD).

    It is measured on unseen rows of the forgotten class, or for sample requests on the forget rows themselves.
    """
    config, split = subject.config, subject.split
    model = copy.deepcopy(subject.model)
    set_batch_norm(model, "per_rank")
    batches = Batches(forget_batch=0, retain_batch=min(config.rebound_batch, split.num_retain))
    # The loss of pairs reads no logits: their prompts would be embedded in vain after each step of the text tower.
    with model.among([0]) if isinstance(model, ImageTextClassifier) else nullcontext():
        run_loop(
            Loop(
                model=model,
                forward=JointForward(model),
                method=FineTune(),
                max_steps=config.rebound_steps,
                stream=UnlearnStream(split, batches, subject.seed + Salt.REBOUND_ORDER, model.tokenize),
                optimizer=OptimizerConfig(name=config.optimizer, lr=config.rebound_lr),
            )
        )
    rows = split.forget_test if split.forget.kind == "class" else split.forget_reported
    return Findings({"rebound_accuracy": accuracy(right_answers(model, split.reader, rows))})
