from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.bench import start
from pipelines.bench.start import COMMANDS, Start, _measured, measure_starts, run_starts


def checkout(folder: Path, name: str) -> Path:
    (folder / name / "pipelines").mkdir(parents=True)
    return folder / name


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Checkouts that were measured; nothing is started."""
    trees: list[Path] = []

    def measure(tree: Path, times: int) -> list[Start]:
        trees.append(tree)
        return [Start("cu --help", 0.25 * times, 40.4), Start("import torch", 2.0, 200.6)]

    monkeypatch.setattr(start, "measure_starts", measure)
    monkeypatch.setenv("COLUMNS", "200")
    return trees


def test_the_least_of_several_runs_counts(tmp_path: Path) -> None:
    """The first of the three processes keeps a core busy and fills memory; the others end at once."""
    code = (
        "import pathlib, sys, time\n"
        f"mark = pathlib.Path({str(tmp_path)!r}) / 'mark'\n"
        "if not mark.exists():\n"
        "    mark.touch()\n"
        "    kept = bytearray(200 * 2**20)\n"
        "    while time.process_time() < 0.5: pass\n"
    )
    words = [sys.executable, "-S", "-c", code]
    seconds, mebibytes = _measured(words, tmp_path, 3)
    assert seconds < 0.5
    assert mebibytes > 1


def test_every_command_is_measured_and_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def note(words: list[str], tree: Path, times: int) -> tuple[float, float]:
        seen.append(words)
        return 1.0, 2.0

    monkeypatch.setattr(start, "_measured", note)
    starts = measure_starts(tmp_path, 3)
    assert [s.command for s in starts] == [*COMMANDS, "import torch"]
    assert seen[0] == [sys.executable, "-m", "pipelines.cli.main", "--help"]
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "cli.py").touch()
    measure_starts(tmp_path, 3)
    assert seen[len(starts)] == [sys.executable, "-m", "pipelines.cli", "--help"]


def test_the_present_tree_is_measured_unless_others_are_given(
    measured: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.md"
    run_starts([], 2, out)
    assert measured == [Path(__file__).parents[4]]
    text = out.read_text()
    assert text.startswith("```\ncu ")
    assert "Whole processes, minimum of 2 runs" in text
    assert "| command | CPU seconds | MiB |\n|---|---|---|\n| cu --help | 0.5 | 40 |" in text
    said = capsys.readouterr().err
    assert "checkout" not in said
    assert f"written to {out}" in said.replace("\n", "")


def test_several_checkouts_are_told_apart(measured: list[Path], tmp_path: Path) -> None:
    trees = [checkout(tmp_path, "old"), checkout(tmp_path, "new")]
    run_starts(trees, 1, tmp_path / "t.md")
    assert measured == trees
    text = (tmp_path / "t.md").read_text()
    assert "| checkout | command |" in text
    assert "| new | import torch | 2.0 | 201 |" in text


def test_a_folder_that_is_no_checkout_and_a_table_that_cannot_be_written_are_refused(
    measured: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"--tree .*absent is no checkout of this program"):
        run_starts([checkout(tmp_path, "new"), tmp_path / "absent"], 1, None)
    with pytest.raises(ConfigError, match="--out"):
        run_starts([], 1, tmp_path)
    assert measured == []
