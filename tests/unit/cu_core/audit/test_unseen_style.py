"""Three classes, styles a and b in training and b and c in test; class 0 is forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.unseen_style import unseen_style
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import PlantedReader, planted_split

AXES = np.concatenate([np.eye(4), [[-0.6, 0.8, 0, 0]]]).astype(np.float32)
OFF = 4
"""An image that is most like a cat, and less so than cats are; and unlike a dog."""
WORDS = ("dog", "cat", "rose")
TRAIN, TEST = [0, 0, 0, 1, 2, 1, 2], [0, 0, 0, 1, 1, 2]
STYLES = ["a", "b", "a", "a", "b", "b", "a"], ["c", "c", "b", "c", "b", "c"]


def planted(axes: list[int], kind: str = "class", forget: Any = (0, 1, 2), column: str | None = "style") -> Subject:
    """``axes``: of the test images."""
    reader = PlantedReader({}, {"style": {}}, train=TRAIN, val=[0, 1, 2] * 4, test=TEST)
    for split, values in zip(("train", "test"), STYLES, strict=True):
        reader._columns["style"] |= dict(zip(reader.sample_ids(split, slice(None)).tolist(), values, strict=True))
    features = np.zeros((reader.total, 4), np.float32)
    features[reader.sample_ids("test", slice(None))] = AXES[axes]
    model = PlantedPairs(features, {word: AXES[c] for c, word in enumerate(WORDS)}, [list(WORDS)])
    config = AuditConfig(style_column=column)
    return Subject(model, planted_split(reader, kind, list(forget)), config, 0)  # type: ignore[arg-type]


def figures(subject: Subject) -> dict[str, tuple[float, int]]:
    return {name: (result.value, result.count) for name, result in unseen_style(subject).metrics.items()}


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_only_images_of_styles_that_no_training_row_has_count(kind: str) -> None:
    """Style c: dogs 0 and 1 (dog 1 is given to the cats), cat 3 and rose 5; the dog of style b is given wrongly."""
    assert figures(planted([0, OFF, 2, 1, 1, 2], kind)) == {
        "unseen_style_accuracy": (50, 2),
        "unseen_style_precision": (50, 2),
        "unseen_style_retain_accuracy": (100, 2),
        "unseen_style_retain_precision": (100, 2),
    }


def test_a_class_of_which_training_rows_stay_is_not_forgotten() -> None:
    """The request names two of three dogs: all images of style c are retained."""
    found = figures(planted([0, OFF, 2, 1, 1, 2], "sample", (0, 1)))
    assert set(found) == {"unseen_style_retain_accuracy", "unseen_style_retain_precision"}
    assert found["unseen_style_retain_accuracy"] == (75, 4)


def test_an_oracle_and_a_model_that_still_knows_the_concept_differ() -> None:
    for axes, percent in (([0, 0, 0, 1, 1, 2], 100), ([1, OFF, 1, 1, 1, 2], 0)):
        assert figures(planted(axes))["unseen_style_accuracy"] == (percent, 2)


def test_without_the_setting_nothing_is_measured() -> None:
    assert unseen_style(planted([0, 0, 0, 1, 1, 2], column=None)).metrics == {}
