from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.config_io import config_from
from cu_core.errors import ConfigError
from pipelines.requests import answer as module
from pipelines.requests.drift import requests_of, run_chain
from tests.unit.pipelines.reports import report
from tests.unit.pipelines.requests.answered import CONFIG, tiny_model


@pytest.fixture
def file(tmp_path: Path, digits: Path) -> Path:
    file = tmp_path / "config.yaml"
    oracles = CONFIG.replace("oracles: 0", "oracles: 1")
    file.write_text(f"{oracles}data: {{path: {digits}}}\nstorage: {tmp_path / 'out'}\n")
    return file


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows that each run forgets, and rows that its audit is about. A run writes a model and a report."""
    found: list[tuple[int, int]] = []

    def run_plans(plan: Any, judged: Any, *, local: bool, resume: str | None) -> Any:
        found.append((len(plan.forget.rows), len(judged.forget.rows)))
        folder = judged.config.store / "runs" / judged.config.name
        tiny_model(folder / "unlearned", float(len(found)))
        made = report(judged.config, gap=1.5)
        assert made.gap is not None
        made = replace(
            made,
            gap=replace(made.gap, per_metric={"test_accuracy": -0.25}),
            sizes={"forget_set": len(judged.forget.rows)},
            cost={"forget_rows": 20.0, "retain_rows": 60.0, "prepare_rows": 20.0, "retrain_rows": 1000.0},
        )
        for name in ("config.yaml", "run.json"):
            (folder / name).write_text("{}")
        (folder / "audit.json").write_bytes(TypeAdapter(AuditReport).dump_json(made))
        return SimpleNamespace(report=made)

    def no_training(workspace: Any, jobs: Any, local: bool) -> None:
        for job in jobs:
            tiny_model(job.folder, 0.0)

    monkeypatch.setattr(module, "run_plans", run_plans)
    monkeypatch.setattr(module, "point_aliases", lambda *given: None)
    monkeypatch.setattr("pipelines.requests.chain.train_missing", no_training)
    return found


def test_a_line_has_the_chain_the_batch_and_doing_nothing(
    file: Path, runs: list[tuple[int, int]], tmp_path: Path
) -> None:
    out = tmp_path / "table.md"
    run_chain(file, [], 3, 20, [], True, out)
    assert runs == [(20, 20), (20, 40), (20, 60), (40, 40), (60, 60)], "three of the chain, two batches"
    lines = [line for line in out.read_text().splitlines() if line.startswith("|")]
    both = "1.50 | -0.2 | 10.0 | over-forgotten | 1.50 | -0.2 | 10.0 | over-forgotten"
    assert lines[2:] == [f"| {n} | {20 * n} | 40.00 | {both} |" for n in (1, 2, 3)]
    run_chain(file, [], 3, 20, [], True, out)
    assert len(runs) == 5, "what was answered is read"
    run_chain(file, ["stop.max_steps=9"], 2, 20, [], True, None)
    assert len(runs) == 8, "other settings are another chain"


def test_requests_are_random_rows_that_no_two_share(file: Path, digits: Path, tmp_path: Path) -> None:
    config = config_from({"data": {"path": str(digits)}, "storage": str(tmp_path / "out")})
    asked = requests_of(config, 4, 30, [])
    lists = [set(Path(request["path"]).read_text().split()) for request in asked]
    assert len(set.union(*lists)) == 120
    assert requests_of(config, 4, 30, []) == asked
    assert requests_of(replace(config, seed=1), 4, 30, []) != asked


def test_classes_are_requests_of_their_own(file: Path, runs: list[tuple[int, int]]) -> None:
    run_chain(file, [], 10, 50, [5, 0], True, None)
    (first, _), (second, union), batch = runs
    assert union == first + second
    assert batch == (union, union)


@pytest.mark.parametrize(("given", "message"), [
    (([], 10, 200, []), r"10 requests of 200 rows are no part of the \d+ training rows"),
    (([], 10, 50, [5]), "a chain needs at least two requests"),
    ((["audit.oracles=0"], 2, 5, []), "audit.oracles must be at least 1"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(given: Any, message: str, file: Path) -> None:
    overrides, count, rows, classes = given
    with pytest.raises(ConfigError, match=message):
        run_chain(file, overrides, count, rows, classes, True, None)
    assert not (file.parent / "out" / "ledgers").exists()
