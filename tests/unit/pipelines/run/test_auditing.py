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
MORE = pa.table({"role": ["unlearned"], "loss": [0.25]})


@contextlib.contextmanager
def board() -> Iterator[str]:
    yield "board"


@pytest.mark.parametrize("tasks", [1, 3])
def test_every_model_is_measured_in_tasks_of_its_own_before_the_audit(
    tasks: int,
    class_config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of what is stored only the samples are made again, so that the measured oracle 1 needs no predictions."""
    plan = make_plan(replace(class_config, audit=replace(class_config.audit, oracles=2, tasks=tasks)))
    made = replace(report(plan.config), versions={ELSEWHERE: f"of another torch {tasks}\nof another GPU {tasks}"})
    calls: list[Any] = []

    def task(name: str, gives: Any) -> Any:
        def remote(*given: Any) -> Any:
            calls.append((name, *given[1:]))
            return gives(*given[1:]) if callable(gives) else gives

        return SimpleNamespace(options=lambda **asked: SimpleNamespace(remote=remote))

    monkeypatch.setattr(auditing, "ray_board", board)
    tables = {"original": [SAMPLES, SAMPLES], "unlearned": [MORE]}
    monkeypatch.setattr(auditing, "_predict_task", task("predict", lambda folder, number: f"{folder.name} {number}"))
    monkeypatch.setattr(
        auditing, "_measure_task", task("measure", lambda folder, board, number, role, *parts: tables.get(role, []))
    )
    monkeypatch.setattr(auditing, "_audit_task", task("audit", made))
    monkeypatch.setattr(auditing.ray, "get", lambda reference: reference)
    monkeypatch.setattr(auditing, "is_measured", lambda workspace, folder: folder == plan.oracles[1].folder)
    unlearned, target = tmp_path / "unlearned", tmp_path / "samples.parquet"
    with caplog.at_level(logging.WARNING, "cu_core"):
        assert audit(plan, unlearned, target, local=False) is made
    expected: list[Any] = []
    for number, folder in enumerate((plan.original.folder, unlearned, *(job.folder for job in plan.oracles))):
        role = ("original", "unlearned", "oracle_0", "oracle_1")[number]
        parts = range(tasks if tasks > 1 and role != "oracle_1" else 0)
        expected += [("predict", folder, part) for part in parts]
        expected.append(("measure", folder, "board", number, role, *(f"{folder.name} {part}" for part in parts)))
    assert calls == [*expected, ("audit", unlearned, "board")]
    assert pq.read_table(target).equals(pa.concat_tables([SAMPLES, SAMPLES, MORE]))
    assert pq.ParquetFile(target).num_row_groups == 3  # each is written as it comes
    assert target.stat().st_mode & 0o077 == 0  # they are personal data
    assert [record.getMessage() for record in caplog.records] == [
        f"of another torch {tasks}",
        f"of another GPU {tasks}",
    ]


def test_in_this_process_the_bar_counts_original_unlearned_and_oracles(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, drawn = make_plan(class_config), []
    unlearned = tmp_path / "unlearned"

    @contextlib.contextmanager
    def bars() -> Iterator[Any]:
        yield SimpleNamespace(update=lambda *given: drawn.append(given))

    def run_audit(workspace: Any, folders: Any, oracles: Any, device: Any, progress: Any, samples: Any) -> Any:
        assert folders == {"original": plan.original.folder, "unlearned": unlearned}
        assert (list(oracles), workspace) == ([plan.oracles[0].folder], plan.workspace)
        for role in ("original", "unlearned", "oracle_0"):
            progress(role)
        for part in (SAMPLES, MORE) if samples else ():
            samples(part)
        return report(plan.config)

    monkeypatch.setattr(auditing, "bars", bars)
    monkeypatch.setattr(auditing, "run_audit", run_audit)
    audit(plan, unlearned, tmp_path / "samples.parquet", local=True)
    assert drawn == [("audit", n, 3, role) for n, role in enumerate(("original", "unlearned", "oracle_0"), 1)]
    assert pq.read_table(tmp_path / "samples.parquet").equals(pa.concat_tables([SAMPLES, MORE]))
    assert audit_here(plan, unlearned, lambda role: None) == report(plan.config)
