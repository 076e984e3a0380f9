from __future__ import annotations

import pytest

from cu_core.types import StepReport
from pipelines.sweep.objective import look, pareto_front, recommended


def test_the_front_holds_what_nothing_beats() -> None:
    rows = [(1, 5, 1), (2, 2, 1), (5, 1, 1), (2, 3, 1), (5, 5, 5), (2, 2, 1)]
    assert pareto_front(rows) == [0, 1, 2, 5]  # equal rows beat each other in nothing
    assert recommended(rows) == 1


def test_one_point_is_its_own_front() -> None:
    assert recommended([(3.0, 4.0)]) == 0


def test_a_look_counts_what_is_left_and_what_accuracy_lacks() -> None:
    values = {"stop_forget": 0.3, "stop_target": 0.1, "stop_utility": 0.9}
    found = look(StepReport(10, 40, values), "class")
    assert found is not None
    assert (found["share"], found["early"]) == (25, pytest.approx(15.0))
    over = {"stop_forget": 0.0, "stop_target": 0.1, "stop_utility": 0.9}
    last = look(StepReport(40, 40, over), "class")
    assert last == {"share": 99, "early": pytest.approx(5.0), "objective": pytest.approx(5.0)}
    assert look(StepReport(40, 40, over), "sample")["early"] == pytest.approx(10.0)  # type: ignore[index]
    assert look(StepReport(1, 40, {"loss": 1.0}), "class") is None
