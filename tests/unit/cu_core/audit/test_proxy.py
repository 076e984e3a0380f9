from __future__ import annotations

import math

import numpy as np
import pytest

from cu_core.audit.answers import Answers
from cu_core.audit.proxy import proxy, proxy_score
from cu_core.types import MetricResult

EXACT = 1e-9


def figures(**values: float) -> dict[str, MetricResult]:
    return {name: MetricResult(value, 10) for name, value in values.items()}


def unseen(rows: list[list[float]]) -> Answers:
    values = np.array(rows, np.float32)
    return Answers(values, np.zeros(len(values), np.int64), values, values)


NO_ROWS = unseen([[0.5, 0.5]])


def test_a_class_by_hand() -> None:
    """Class 0 forgotten. The original says (1/2, 1/4, 1/4): without the class (0, 1/2, 1/2). One row answers so, the
    other (1/2, 1/2, 0) and (0, 1/2, 1/2): mixture (1/4, 1/2, 1/4), half of each lies apart: log(2) / 2."""
    before = unseen([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    after = unseen([[0.0, 0.5, 0.5], [0.5, 0.5, 0.0]])
    own = figures(test_accuracy=88, forget_accuracy=77, mia_auc=0.9, forget_test_accuracy=4, rebound_accuracy=9)
    old = figures(test_accuracy=91, forget_accuracy=99, mia_auc=0.5, forget_test_accuracy=95, rebound_accuracy=96)
    parts = proxy("class", own, old, after, before, [0])
    assert parts == pytest.approx({"utility": 3, "forget": 4, "output": 25, "rebound": 9}, abs=EXACT)
    assert proxy_score(parts) == pytest.approx(41 / 4, abs=EXACT)


def test_samples_by_hand() -> None:
    """Forget rows 6 below unseen ones are as far off as 6 above; an attack below chance counts like one above."""
    own = figures(test_accuracy=90, forget_accuracy=84, mia_auc=0.42, rebound_accuracy=95)
    old = figures(test_accuracy=88, forget_accuracy=100, mia_auc=0.8, rebound_accuracy=100)
    parts = proxy("sample", own, old, NO_ROWS, NO_ROWS, [])
    assert parts == pytest.approx({"utility": 0, "forget": 6, "output": 8, "rebound": 5}, abs=EXACT)
    low = own | figures(rebound_accuracy=80)
    assert proxy("sample", low, old, NO_ROWS, NO_ROWS, [])["rebound"] == 0


def test_pairs_without_classes_are_read_from_retrieval() -> None:
    own = figures(retain_i2t_r1=50, forget_i2t_r1=61, mia_cosine_auc=0.53, rebound_accuracy=52)
    old = figures(retain_i2t_r1=57, forget_i2t_r1=90, mia_cosine_auc=0.9, rebound_accuracy=90)
    parts = proxy("sample", own, old, NO_ROWS, NO_ROWS, [])
    assert parts == pytest.approx({"utility": 7, "forget": 11, "output": 3, "rebound": 2}, abs=EXACT)


def test_the_original_s_answers_without_the_classes_sum_to_one() -> None:
    """Certain of the forgotten class alone, nothing is left to compare with: half of every answer lies apart."""
    before, after = unseen([[0.2, 0.8, 0.0]]), unseen([[0.0, 1.0, 0.0]])
    own = figures(test_accuracy=1, forget_accuracy=1, mia_auc=0.5, forget_test_accuracy=0, rebound_accuracy=0)
    assert proxy("class", own, own, after, before, [0])["output"] == pytest.approx(0, abs=EXACT)
    assert proxy("class", own, own, after, before, [0, 1])["output"] == pytest.approx(
        100 * 0.5 * math.log(2) / math.log(2), abs=EXACT
    )
