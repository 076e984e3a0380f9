from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from cu_core.checkpoint import save_model
from cu_core.errors import ConfigError
from pipelines.requests.replay import TOLERANCE, compare, greatest_difference, replay
from tests.unit.pipelines.requests.answered import now
from tests.unit.pipelines.requests.conftest import Answered

HERE = {"torch": "2.8", "device": "cpu", "instructions": "AVX2", "source": "abc"}


def model(folder: Path, *values: float) -> Path:
    save_model(folder, {"w": torch.tensor(values)}, {})
    return folder


def test_the_same_weights_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    one, other = model(tmp_path / "a", 1.0, 4.0), model(tmp_path / "b", 1.0, 4.0)
    assert compare(one, other, HERE, HERE) == ([], ["replay: the same weights, bit for bit"])


def test_other_weights_on_the_same_kind_of_machine_are_a_problem(tmp_path: Path) -> None:
    one, other = model(tmp_path / "a", 1.0, 4.0), model(tmp_path / "b", 1.0, 4.0 + 1e-6)
    problems, notes = compare(one, other, HERE, HERE)
    assert notes == []
    assert "other weights on the same kind of machine" in problems[0]


@pytest.mark.parametrize(("step", "within"), [(TOLERANCE / 2, True), (TOLERANCE * 2, False)])
def test_on_another_kind_of_machine_there_is_a_tolerance(tmp_path: Path, step: float, within: bool) -> None:
    one, other = model(tmp_path / "a", 1.0, 4.0), model(tmp_path / "b", 1.0 + 4 * step, 4.0)
    assert greatest_difference(one, other) == pytest.approx(step, rel=1e-3)
    problems, notes = compare(one, other, HERE, {**HERE, "instructions": "AVX512"})
    assert (problems == []) == within
    assert "made with instructions AVX2 (here AVX512)" in (notes if within else problems)[0]


def test_another_version_of_the_code_is_told(tmp_path: Path) -> None:
    one, other = model(tmp_path / "a", 1.0, 4.0), model(tmp_path / "b", 1.5, 4.0)
    problems, _ = compare(one, other, HERE, {**HERE, "source": "def"})
    assert "made with source abc (here def)" in problems[0]


def test_models_of_other_shapes_are_as_far_apart_as_can_be(tmp_path: Path) -> None:
    assert greatest_difference(model(tmp_path / "a", 1.0), model(tmp_path / "b", 1.0, 2.0)) == float("inf")


def test_without_the_model_that_it_began_from_nothing_is_replayed(answered: Answered) -> None:
    version = now(answered.places).versions[-1]
    shutil.rmtree(answered.store / version.entry.fields["predecessor"]["folder"])
    with pytest.raises(ConfigError, match="is gone, from which the run began"):
        replay(answered.places, version.entry.number)
