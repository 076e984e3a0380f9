from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from pipelines.compare import command
from pipelines.compare.command import compare, comparison_digest, run_tracked
from pipelines.compare.run import ComparisonResult
from tests.unit.pipelines.reports import compared, report


@pytest.fixture
def finished(tmp_path: Path) -> ComparisonResult:
    outcomes = {"finetune": partial(report, gap=0.25), "scrub": partial(report, gap=1.5)}
    return compared(tmp_path, "{finetune: {}, scrub: {}}", outcomes)


@pytest.fixture
def heavy(finished: ComparisonResult, monkeypatch: pytest.MonkeyPatch) -> Mock:
    """No Ray and no MLflow: the run answers with ``finished``."""

    @contextmanager
    def session(config: RunConfig) -> Iterator[None]:
        yield

    made = Mock()
    made.run_comparison.return_value = finished
    monkeypatch.setattr(command, "ray_session", session)
    for name in ("check", "check_tracking", "Recorder", "run_comparison", "write_files"):
        monkeypatch.setattr(command, name, getattr(made, name))
    return made


def test_a_comparison_is_recorded_with_the_mean_gap_of_each_method(
    heavy: Mock, finished: ComparisonResult, tmp_path: Path
) -> None:
    given = finished.comparison
    found, folder = run_tracked(given, "paper class digits")
    assert found is finished
    assert (folder.parent.name, folder.name) == ("compare", "paper_class_digits")
    (config, name, settings, digest) = heavy.Recorder.call_args.args
    assert (name, digest) == ("compare paper class digits", comparison_digest(given))
    assert settings["budget_rows"] == 5000
    heavy.check_tracking.assert_called_once_with(config, registers=False)
    gaps = {"gap/class/finetune": 0.25, "gap/class/scrub": 1.5, "gap/class/doing nothing": 40.0}
    status, place, figures = heavy.Recorder.return_value.finish.call_args.args
    assert (status, place, heavy.write_files.call_args.args[2]) == ("FINISHED", folder, folder)
    assert figures.items() >= gaps.items()
    heavy.Recorder.return_value.finish.assert_called_once()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (RuntimeError("lost"), "FAILED"), (SystemExit(1), "FAILED")]
)
def test_a_comparison_that_ends_early_is_recorded_as_such(
    error: BaseException, status: str, heavy: Mock, finished: ComparisonResult
) -> None:
    heavy.run_comparison.side_effect = error
    with pytest.raises(type(error)):
        run_tracked(finished.comparison, "a")
    heavy.Recorder.return_value.finish.assert_called_once_with(status)


def test_what_cannot_be_compared_is_refused_before_mlflow_is_asked(heavy: Mock, finished: ComparisonResult) -> None:
    heavy.check.side_effect = ConfigError("no")
    with pytest.raises(ConfigError):
        run_tracked(finished.comparison, "a")
    heavy.check_tracking.assert_not_called()


@pytest.fixture
def names(finished: ComparisonResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the comparisons that were run."""
    seen: list[str] = []

    def run(comparison: Any, name: str) -> tuple[ComparisonResult, Path]:
        seen.append(name)
        (tmp_path / "table.md").write_text("```\ncu compare\n```\n")
        return finished, tmp_path

    monkeypatch.setattr(command, "run_tracked", run)
    monkeypatch.setenv("COLUMNS", "200")
    return seen


def test_with_other_settings_it_does_not_replace_the_tables_of_the_file(names: list[str], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    compare(path, [], None)
    compare(path, ["seeds=[4]"], None)
    compare(path, ["seeds=[5]"], None)
    compare(path, [], None, ["scrub"])
    assert names[0] == "c"
    assert all(name.startswith("c ") and len(name) == len("c ") + 6 for name in names[1:])
    assert len(set(names)) == 4


def test_the_table_is_printed_and_copied(names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "t.md"
    compare(tmp_path / "c.yaml", [], out)
    assert out.read_text() == (tmp_path / "table.md").read_text()
    said = capsys.readouterr().err
    assert "finetune" in said
    assert "class: difference to the oracle (points)" in said
    assert f"report  {tmp_path}/report.html" in said
    assert f"written to {out}" in said.replace("\n", "")


def test_a_file_that_is_no_table_is_refused_before_anything_runs(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.md").write_text("my notes")
    with pytest.raises(ConfigError, match="is no table of this program"):
        compare(tmp_path / "c.yaml", [], tmp_path / "t.md")
    assert names == []
