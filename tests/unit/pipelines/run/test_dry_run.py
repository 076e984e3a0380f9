"""A dry run counts what a run would do, and leaves nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.run import dry_run
from pipelines.run.dry_run import describe_run, rows_per_second
from pipelines.run.plan import make_plan
from tests.conftest import small


def test_the_rows_of_every_part_are_counted(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(dry_run, "console", Console(file=written, width=200))
    monkeypatch.setattr(dry_run, "rows_per_second", lambda plan, rows: (100.0, 3 * 2**20))
    config = small(
        digits, tmp_path / "out", name="r", batches={"forget_batch": 16, "retain_batch": 32},
        stop={"max_steps": 50, "check_every": 20}, train={"epochs": 2, "batch": 64},
    )  # fmt: skip
    plan = make_plan(small(digits, tmp_path / "elsewhere"))
    forget, train = len(plan.forget.rows), plan.manifest.num_rows("train")
    split = plan.split
    stop = len(split.stop_forget) + len(split.forget_stop) + len(split.stop_retain)
    sets = (split.retain_test, split.forget_test, split.holdout, split.retain_train, split.forget_reported)
    test = sum(len(one) for one in sets)
    trained = config.store / "models" / config.original_key(plan.manifest.digest)
    describe_run(config)
    assert not (tmp_path / "out").exists()
    lines = [" ".join(line.replace("│", " ").split()) for line in written.getvalue().splitlines()]
    for part, rows, steps, speed in (
        ("train original", 2 * split.num_train, f"{2 * split.num_train / 64:.0f}", 100),
        ("retrain oracle 0", 2 * (split.num_train - forget), f"{2 * (split.num_train - forget) / 64:.0f}", 100),
        ("unlearn, at most", 50 * 48, "50", 100),
        (f"stop checks, 3 of {stop} rows", 3 * stop, "", 300),  # 50 // 20 and at the start
        ("audit of 3 models", 3 * test, "", 300),
    ):
        assert " ".join(f"{part} {rows} {steps} {rows / speed:.0f} s".split()) in lines
    assert split.num_train == train
    told = written.getvalue()
    assert "1 worker(s); about 3 MiB a worker" in told
    assert f"models/{trained.name}, models/" in told
    assert "runs/r (config.yaml" in told

    trained.mkdir(parents=True)
    (trained / "meta.json").write_text("{}")
    before = sorted(os.walk(tmp_path / "out"))
    written.truncate(0)
    describe_run(config)
    assert sorted(os.walk(tmp_path / "out")) == before
    assert "found, not trained again" in written.getvalue()
    assert f"models/{trained.name}" not in written.getvalue()


def test_speed_is_measured_on_images_of_the_data(digits: Path, tmp_path: Path) -> None:
    speed, memory = rows_per_second(make_plan(small(digits, tmp_path)), 8)
    assert speed > 0
    assert isinstance(memory, int)
