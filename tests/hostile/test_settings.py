"""Configurations with wrong types and edge values: each is read, or refused in one line."""

from __future__ import annotations

import pytest

from tests.hostile.fuzz_settings import run, settings, try_one


@pytest.mark.parametrize("start", range(0, 2000, 125))
def test_a_configuration_is_read_or_refused_in_one_line(start: int) -> None:
    read = sum(try_one(seed) for seed in range(start, start + 125))
    assert 0 < read < 125


def test_every_setting_of_the_schema_is_tried() -> None:
    paths = {path for path, _ in settings()}
    assert {"seed", "method.temperature", "train.optimizer.lr", "audit.oracles", "request.classes"} <= paths


def test_the_long_form_runs_for_a_time() -> None:
    assert run(0.2, 100_000) > 0
