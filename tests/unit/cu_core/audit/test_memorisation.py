from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from cu_core.audit.answers import Answers
from cu_core.audit.memorisation import LEAST, PRIOR, memorisation


def answers(*logits: float) -> Answers:
    """Two classes, alternating labels; the logit of the confidence in each row's label is given."""
    own = expit(np.array(logits))
    labels = np.arange(len(own)) % 2
    forget = np.where(labels[:, None] == np.arange(2), own[:, None], 1 - own[:, None])
    return Answers(forget, labels, forget[:0], forget[:0])  # type: ignore[arg-type]


ORIGINAL = answers(4.0, 2.0, 1.0, 3.0)
REFERENCES = [answers(0.0, 1.0, 2.0, -1.0), answers(2.0, 1.0, 0.0, 1.0)]
MEAN, DIFFERENCE = np.array([1.0, 1.0, 1.0, 0.0]), np.array([3.0, 1.0, 0.0, 3.0])
OWN = np.array([2.0, 0.0, 2.0, 2.0])
WEIGHTS = DIFFERENCE / ((OWN + PRIOR * OWN.mean()) / (1 + PRIOR))


def left(model: Answers, references: list[Answers] = REFERENCES, original: Answers = ORIGINAL) -> float:
    return memorisation(model, references, original)["memorisation_left"].value


def test_it_is_zero_for_the_references_mean_and_a_hundred_for_the_original() -> None:
    assert left(answers(*MEAN)) == pytest.approx(0, abs=1e-9)
    assert left(ORIGINAL) == pytest.approx(100)
    assert left(answers(*(MEAN + DIFFERENCE / 4))) == pytest.approx(25)
    assert left(answers(*(MEAN - DIFFERENCE / 4))) == pytest.approx(-25)


def test_it_is_the_weighted_mean_of_the_row_wise_differences() -> None:
    off = np.array([0.5, -1.0, 2.0, 0.25])
    expected = 100 * (WEIGHTS @ off) / (WEIGHTS @ DIFFERENCE)
    assert left(answers(*(MEAN + off))) == pytest.approx(expected)


def test_a_row_that_references_agree_on_weighs_more_than_one_they_do_not() -> None:
    steady, unsteady = left(answers(*(MEAN + [0, 1, 0, 0]))), left(answers(*(MEAN + [1, 0, 0, 0])))
    assert steady / unsteady == pytest.approx(WEIGHTS[1] / WEIGHTS[0])


def test_one_row_cannot_decide_for_all() -> None:
    bound = float(np.log((1 - LEAST) / LEAST))
    assert left(answers(200.0, *MEAN[1:])) == pytest.approx(left(answers(bound, *MEAN[1:])))


def test_it_is_absent_where_it_has_no_meaning() -> None:
    assert memorisation(ORIGINAL, REFERENCES[:1], ORIGINAL) == {}
    assert memorisation(ORIGINAL, REFERENCES, answers(*MEAN)) == {}
