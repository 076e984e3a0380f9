"""Commands of the README and the guides run, in the order of their page; long ones up to the work itself."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer

from pipelines.cli.main import app, main
from tests.unit.test_documents import SHELL, fences

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
LEFT_OUT = {
    r"(make|source|npm|apt-get|pip|openssl) .*": "installs, or is no command of this project",
    r"(python|torchrun) .*": "trains for minutes, or needs downloaded packages; tests/integration runs the examples",
    r"mlflow .*": "a server that does not end",
    r"cu (submit|jobs|stop) .*": "needs a cluster",
    r"cu (audit|export|unlearn) (.* )?NAME( .*)?|cu unlearn \S*/NAME/.*": "needs a finished run",
    r"cu data pack (emoji|stamps|folder):.*": "needs downloaded packages, or pictures that take minutes to make",
    r"cu data (duplicates|drop) data/photos .*": "the reader's own photos",
    r"cu requests add .*--(ids|where|concept) .*": "the reader's own lists, columns and captions",
    r"cu (requests (run|certificate|verify|show)|data drop data/digits --request).*": "trains for minutes first",
    r"cu compare --reproduce paper": "trains for hours",
}
"""Commands that do not run here, and why."""
STOPS = {
    "compare": "pipelines.compare.command.run_tracked",
    "sweep": "pipelines.sweep.run.run_sweep",
    "repeat": "pipelines.grid.repeat.run_cells",
    "calibrate": "pipelines.audits.calibrate.calibrate",
    "audit-strong": "pipelines.audits.strong_audit.strong_audit",
    "score": "pipelines.audits.memorisation.score_rows",
    "bench": "pipelines.requests.drift.run_chain",
}
"""Where a command that trains for minutes is stopped: its words, files and settings were read by then."""


def commands_of(page: Path) -> list[str]:
    blocks = [block for language, block in fences(page.read_text()) if language in SHELL]
    joined = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.join(shlex.split(line, comments=True)) for line in joined if line.strip()]


def is_left_out(line: str) -> bool:
    return any(re.fullmatch(pattern, line.replace("'", "")) for pattern in LEFT_OUT)


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run ``cu``; its exit status."""
    monkeypatch.setattr(sys, "argv", ["cu", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0


def quick(words: list[str]) -> list[str]:
    """`cu unlearn` without the training: a dry run, or the settings alone where the data is not here."""
    if words[0] != "unlearn" or "--dry-run" in words:
        return words
    own = any(word.isupper() for word in words) or any("=FILE" in word for word in words)
    packed = re.search(r"^data: \{path: ([\w/-]+)", Path(words[1]).read_text(), re.M)
    return [*words, "--print-config" if own or packed is None or not Path(packed[1]).exists() else "--dry-run"]


def stop(*args: Any, **kwargs: Any) -> NoReturn:
    sys.exit(0)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_of_a_page_run(
    page: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in commands_of(page) if not is_left_out(line)]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tune_configs").symlink_to(ROOT / "tune_configs")
    (tmp_path / "data").mkdir()
    if not any(" data/digits " in line for line in lines):
        (tmp_path / "data" / "digits").symlink_to(digits)
    for place in STOPS.values():
        monkeypatch.setattr(place, stop)
    for line in lines:
        words = quick(shlex.split(line)[1:])
        assert run(words, monkeypatch) == 0, f"{line}: {capsys.readouterr().err}"


def test_each_reason_to_leave_a_command_out_is_used() -> None:
    lines = [line.replace("'", "") for page in PAGES for line in commands_of(page)]
    assert [p for p in LEFT_OUT if not any(re.fullmatch(p, line) for line in lines)] == []
    assert all(line.startswith("cu ") for line in lines if not is_left_out(line))
    assert {*STOPS} <= {*typer.main.get_command(app).commands}  # type: ignore[attr-defined]
