"""What a model answers on the audited rows: all that audits against other models need of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from cu_core.audit.subject import Subject
from cu_core.files import load_arrays, save_arrays
from cu_core.metrics.representation import unit
from cu_core.models.image_text import ImageTextClassifier
from cu_core.stored import damaged


@dataclass(frozen=True)
class Answers:
    """Class probabilities, float32 (N, C), and labels; ``unseen`` holds test rows of a forgotten class."""

    forget: NDArray[np.float32]
    forget_labels: NDArray[np.int64]
    unseen: NDArray[np.float32]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Of the rows of ``test``; with the audit ``near_concepts`` only."""
    prompts: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """Embeddings of the prompts of the classes, (C, D) at length one; with the audit ``near_concepts`` only."""

    def save(self, path: Path) -> None:
        """Write the arrays to one file."""
        save_arrays(path, vars(self))

    @staticmethod
    def load(path: Path) -> Answers:
        """Read arrays that ``save`` wrote.

        Raises:
            DamagedFile: The file holds something else.
        """
        arrays = load_arrays(path)
        if set(arrays) != {field.name for field in fields(Answers)}:
            raise damaged(path, f"it holds {', '.join(arrays)}", "delete it")
        return Answers(**arrays)


def answers_of(subject: Subject) -> Answers:
    """Compute the class probabilities of a model on the audited rows."""

    def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
        return softmax(logits.astype(np.float64), axis=1).astype(np.float32)  # type: ignore[no-any-return]

    forget, test = subject.forget_train, subject.retain_test
    is_class = subject.split.forget.kind == "class"
    unseen = subject.forget_test.logits if is_class else forget.logits[:0]
    made = Answers(probabilities(forget.logits), forget.labels, probabilities(unseen), probabilities(test.logits))
    if "near_concepts" not in subject.config.more_audits or not isinstance(subject.model, ImageTextClassifier):
        return made
    return replace(made, test_labels=test.labels, prompts=unit(subject.model.class_features().mean(0).cpu().numpy()))
