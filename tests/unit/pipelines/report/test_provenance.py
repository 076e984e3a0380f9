from __future__ import annotations

import pytest

from pipelines.report.provenance import command_line, from_nothing, resumed


def test_the_command_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/x/cu", "repeat", "a.yaml", "--vary", "seed=0|1"])
    assert command_line() == "cu repeat a.yaml --vary 'seed=0|1'"


def test_a_sweep_goes_on_or_begins_anew() -> None:
    assert resumed("cu sweep a.yaml --name b trials=3", "b") == "cu sweep a.yaml trials=3 --resume b"
    assert resumed("cu sweep a.yaml --resume b", "b") == "cu sweep a.yaml --resume b"
    assert from_nothing("cu sweep a.yaml --resume b") == "cu sweep a.yaml --name b"
