from __future__ import annotations

import pytest

from pipelines.report.provenance import command_line, from_nothing, resumed


def test_the_command_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/x/cu", "repeat", "a.yaml", "--vary", "seed=0|1"])
    assert command_line() == "cu repeat a.yaml --vary 'seed=0|1'"


def test_a_named_sweep_goes_on_by_its_name() -> None:
    assert resumed("cu sweep a.yaml trials=8 --name par", "par") == "cu sweep a.yaml trials=8 --resume par"
    assert resumed("cu sweep a.yaml", "a") == "cu sweep a.yaml --resume a"
    assert resumed("cu sweep a.yaml --resume a", "a") == "cu sweep a.yaml --resume a"


def test_a_resumed_sweep_is_made_again_under_its_name() -> None:
    assert from_nothing("cu sweep a.yaml --resume par") == "cu sweep a.yaml --name par"
