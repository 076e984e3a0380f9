"""Audits that compare answers with those of oracles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.audit.answers import Answers
from cu_core.audit.neighbours import neighbours, received
from cu_core.audit.output_distance import output_distance
from cu_core.audit.report import ModelFigures
from cu_core.audit.subject import AuditConfig
from cu_core.audit.table import Claim
from cu_core.evidence import Evidence


def answers(classes: list[int], num_classes: int = 5) -> Answers:
    """Certain answers: unseen rows get these classes; forget rows class 0, their own label."""
    eye = np.eye(num_classes, dtype=np.float32)
    return Answers(eye[[0, 0]], np.array([0, 0]), eye[classes], eye[[1, 2]])


def test_output_distance_by_hand() -> None:
    same = output_distance(answers([1]), [answers([1])])
    assert same["forget_js"].value == same["test_tv"].value == same["forget_entropy"].value == 0
    assert same["forget_confidence"].value == 1
    eye = np.eye(5, dtype=np.float32)
    other = Answers(eye[[0, 3]], np.array([0, 0]), eye[:0], eye[[1, 2]])
    found = output_distance(other, [answers([1]), answers([1])])
    assert found["forget_js"].value == pytest.approx(np.log(2) / 2)
    assert found["forget_tv"].value == pytest.approx(0.5)
    assert found["forget_confidence"].value == pytest.approx(0.5)


def test_without_oracles_there_is_no_distance() -> None:
    assert set(output_distance(answers([1]), [])) == {"forget_entropy", "forget_confidence"}
    assert neighbours(answers([1]), []) == {}


def test_neighbours_by_hand() -> None:
    oracles = [answers([1, 1, 2, 3]), answers([1, 2, 2, 3])]
    assert received(oracles[0]) == pytest.approx([0, 0.5, 0.25, 0.25, 0])
    one_class = neighbours(answers([1, 1, 1, 1]), oracles)
    assert one_class["neighbour_share"].value == 100
    assert one_class["assignment_distance"].value == pytest.approx(100 * (1 - 0.375))
    assert one_class["own_share"].value == 0
    assert neighbours(answers([0, 0, 1, 2]), oracles)["own_share"].value == 50
    elsewhere = neighbours(answers([4, 4, 4, 1]), oracles)
    assert elsewhere["neighbour_share"].value == 25


def test_answers_are_kept_as_they_are(tmp_path: Path) -> None:
    kept = answers([1, 2])
    kept.save(tmp_path / "a.npz")
    for name, value in vars(Answers.load(tmp_path / "a.npz")).items():
        np.testing.assert_array_equal(value, getattr(kept, name))


def test_no_oracle_is_compared_with_itself() -> None:
    """An oracle's distance is to the others; with one held out, to those that are left."""
    roles = ["original", "oracle_0", "oracle_1", "oracle_2"]
    eye = np.eye(5, dtype=np.float32)
    forget = {role: np.stack([eye[k], (eye[0] + k * eye[1]) / (1 + k)]) for k, role in enumerate(roles)}
    made = {role: Answers(forget[role], np.array([0, 0]), eye[:0], eye[[1, 2]]) for role in roles}
    evidence = Evidence(Claim("sample"), AuditConfig(), {role: ModelFigures({}, {}) for role in roles}, made)

    def distance(role: str, *references: str) -> float:
        return output_distance(made[role], [made[r] for r in references])["forget_js"].value

    oracles = roles[1:]
    own = [evidence.figures(role, oracles)["forget_js"].value for role in oracles]
    assert own == [distance(role, *(o for o in oracles if o != role)) for role in oracles]
    rest = [found["forget_js"].value for found in evidence.without(oracles)(0)]
    assert rest == [distance("oracle_1", "oracle_2"), distance("oracle_2", "oracle_1")]
    assert len({*own, *rest}) > 3
