from __future__ import annotations

import numpy as np
import pytest

from cu_core.audit.answers import Answers
from cu_core.audit.neighbours import neighbours
from cu_core.metrics.accuracy import wilson_interval

EXACT = 1e-9


def sent(classes: list[int], forgotten: int = 0, num_classes: int = 6) -> Answers:
    """Unseen rows that are sent to these classes with probability 0.6."""
    unseen = np.full((len(classes), num_classes), 0.4 / (num_classes - 1), np.float32)
    unseen[np.arange(len(classes)), classes] = 0.6
    return Answers(np.eye(num_classes, dtype=np.float32)[[1]], np.array([forgotten]), unseen, unseen[:1])


REFERENCES = [sent([1, 1, 2, 3, 4]), sent([1, 2, 2, 3, 1])]
"""Means: class 1 0.4, class 2 0.3, class 3 0.2, class 4 0.1."""


def test_every_figure_by_hand() -> None:
    """Rows to 0, 1, 4, 4: shares 1/4, 1/4, 1/2. Away from the references: 1/4 + .15 + .3 + .2 + .4 = 1.3, halved."""
    found = neighbours(sent([0, 1, 4, 4]), REFERENCES)
    assert found["own_share"].value == pytest.approx(25, abs=EXACT)
    assert found["neighbour_share"].value == pytest.approx(25, abs=EXACT)
    distance = found["assignment_distance"]
    half = 1.96 * 50 * np.sqrt((2 * 0.25 * 0.75 + 0.5 * 0.5) / 4)
    assert (distance.value, distance.count) == (pytest.approx(65, abs=EXACT), 4)
    assert (distance.low, distance.high) == (pytest.approx(65 - half, abs=EXACT), pytest.approx(100, abs=EXACT))
    for name in ("own_share", "neighbour_share"):
        low, high = wilson_interval(1, 4)
        assert (found[name].low, found[name].high) == pytest.approx((100 * low, 100 * high), abs=EXACT)


def test_three_nearest_classes_are_those_that_the_references_send_most_to() -> None:
    assert neighbours(sent([1, 2, 3, 4]), REFERENCES)["neighbour_share"].value == 75
    assert neighbours(sent([1, 1, 2, 3, 4] + [1, 2, 2, 3, 1]), REFERENCES)[
        "assignment_distance"
    ].value == pytest.approx(0, abs=EXACT)


def test_own_share_covers_every_forgotten_class() -> None:
    two = Answers(np.eye(6, dtype=np.float32)[[0, 5]], np.array([0, 5]), sent([0, 5, 5, 1]).unseen, sent([1]).unseen)
    assert neighbours(two, REFERENCES)["own_share"].value == 75


def test_the_answers_themselves_are_compared_and_not_the_references_with_one_another() -> None:
    """Both references alike: the distance is still that of the audited answers."""
    found = neighbours(sent([0, 0]), [REFERENCES[0], REFERENCES[0]])
    assert found["assignment_distance"].value == pytest.approx(100, abs=EXACT)
    assert found["neighbour_share"].value == 0
