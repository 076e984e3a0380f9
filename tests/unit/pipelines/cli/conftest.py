from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.cli.main import main
from tests.unit.pipelines.commands import Cu, Ran


@pytest.fixture
def cu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cu:
    """Run the command of these words in this process; its exception is that of a bug."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["cu", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return Ran(int(stopped.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 3\n")
    return file
