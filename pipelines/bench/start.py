"""``cu bench start``: the start time of commands, compared with ``import torch``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from cu_core.errors import ConfigError
from cu_core.files import write_text
from pipelines.console import console
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line, machine

COMMANDS: Mapping[str, Sequence[str]] = {
    "cu --help": ["--help"],
    "cu unlearn --help": ["unlearn", "--help"],
    "cu methods": ["methods"],
    "cu jobs, no cluster": ["jobs", "--address", "http://127.0.0.1:9"],
    "cu unlearn, no file": ["unlearn", "absent.yaml"],
    "cu unlearn, a misspelt key": ["unlearn", "run.yaml", "methd.name=scrub"],
}
HEADINGS = ("command", "CPU seconds", "MiB")


@dataclass(frozen=True)
class Start:
    """CPU time and memory of a process: the minimum of several runs."""

    command: str
    seconds: float
    mebibytes: float


def _measured(words: Sequence[str], tree: Path, times: int) -> tuple[float, float]:
    """Return (CPU seconds, peak resident memory in MiB) of a process."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "run.yaml").write_text("seed: 0\n")
        found = []
        for _ in range(times):
            process = subprocess.Popen(
                words,
                cwd=place,
                env=os.environ | {"PYTHONPATH": str(tree)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, _, used = os.wait4(process.pid, 0)
            found.append((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
    return min(seconds for seconds, _ in found), min(memory for _, memory in found)


def measure_starts(tree: Path, times: int) -> list[Start]:
    """Measure every command of the checkout ``tree``, and ``import torch``."""
    module = "pipelines.cli" if (tree / "pipelines" / "cli.py").is_file() else "pipelines.cli.main"  # older checkouts
    run = [sys.executable, "-m", module]
    starts = [Start(name, *_measured([*run, *words], tree, times)) for name, words in COMMANDS.items()]
    return [*starts, Start("import torch", *_measured([sys.executable, "-c", "import torch"], tree, times))]


def run_starts(trees: Sequence[Path], times: int, out: Path | None) -> None:
    """Measure this checkout, or ``trees`` one after the other, and print a table.

    Raises: ConfigError for a folder that is no checkout, of which failing processes would be measured.
    """
    check_out(out)
    for tree in trees:
        if not (tree / "pipelines").is_dir():
            raise ConfigError(f"--tree {tree} is no checkout of this program: it has no folder pipelines.")
    own = Path(__file__).parents[2]
    found = {tree: measure_starts(tree.resolve(), times) for tree in trees or [own]}
    rows = [
        [
            *([tree.resolve().name] if len(found) > 1 else []),
            start.command,
            f"{start.seconds:.1f}",
            f"{start.mebibytes:.0f}",
        ]
        for tree, starts in found.items()
        for start in starts
    ]
    headings = ("checkout", *HEADINGS) if len(found) > 1 else HEADINGS
    shown = Table(*headings)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    if out is not None:
        about = f"Whole processes, minimum of {times} runs; {machine()}."
        write_text(out, f"```\n{command_line()}\n```\n\n{about}\n\n{markdown_table(headings, rows)}\n")
        console.print(f"written to {out}")
