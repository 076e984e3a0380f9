"""The audit of a run: who measures which model, and where the samples lie."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.config import RunConfig
from cu_core.run_audit import ELSEWHERE
from pipelines.run import auditing
from pipelines.run.auditing import audit, audit_here
from pipelines.run.plan import make_plan
from tests.unit.pipelines.reports import report

SAMPLES = pa.table({"role": ["original"], "loss": [0.5]})


@contextlib.contextmanager
def board() -> Iterator[str]:
    yield "board"


def test_every_model_is_measured_in_a_task_of_its_own_before_the_audit(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan(replace(class_config, audit=replace(class_config.audit, oracles=2)))
    made = replace(report(plan.config), versions={ELSEWHERE: "of another torch\nof another GPU"})
    calls: list[Any] = []

    def task(name: str, gives: Any) -> Any:
        def remote(*given: Any) -> Any:
            calls.append((name, *given[1:]))
            return gives

        return SimpleNamespace(options=lambda **asked: SimpleNamespace(remote=remote))

    monkeypatch.setattr(auditing, "ray_board", board)
    monkeypatch.setattr(auditing, "_measure_task", task("measure", None))
    monkeypatch.setattr(auditing, "_audit_task", task("audit", (made, SAMPLES)))
    monkeypatch.setattr(auditing.ray, "get", lambda reference: reference)
    unlearned, target = tmp_path / "unlearned", tmp_path / "samples.parquet"
    with caplog.at_level(logging.WARNING, "cu_core"):
        assert audit(plan, unlearned, target, local=False) is made
    assert calls == [
        ("measure", plan.original.folder, "board", 0, "original"),
        ("measure", unlearned, "board", 1, "unlearned"),
        ("measure", plan.oracles[0].folder, "board", 2, "oracle_0"),
        ("measure", plan.oracles[1].folder, "board", 3, "oracle_1"),
        ("audit", unlearned, "board"),
    ]
    assert pq.read_table(target).equals(SAMPLES)
    assert target.stat().st_mode & 0o077 == 0  # they are personal data
    assert [record.getMessage() for record in caplog.records] == ["of another torch", "of another GPU"]


def test_in_this_process_the_bar_counts_original_unlearned_and_oracles(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, drawn = make_plan(class_config), []
    unlearned = tmp_path / "unlearned"

    @contextlib.contextmanager
    def bars() -> Iterator[Any]:
        yield SimpleNamespace(update=lambda *given: drawn.append(given))

    def run_audit(workspace: Any, folders: Any, oracles: Any, device: Any, progress: Any, samples: bool) -> Any:
        assert folders == {"original": plan.original.folder, "unlearned": unlearned}
        assert (list(oracles), workspace) == ([plan.oracles[0].folder], plan.workspace)
        for role in ("original", "unlearned", "oracle_0"):
            progress(role)
        return report(plan.config), SAMPLES if samples else None

    monkeypatch.setattr(auditing, "bars", bars)
    monkeypatch.setattr(auditing, "run_audit", run_audit)
    audit(plan, unlearned, tmp_path / "samples.parquet", local=True)
    assert drawn == [("audit", n, 3, role) for n, role in enumerate(("original", "unlearned", "oracle_0"), 1)]
    assert audit_here(plan, unlearned, lambda role: None)[1] is None
