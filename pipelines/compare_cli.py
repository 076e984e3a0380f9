"""``cu compare`` as the user sees it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from cu_core.files import digest_of, write_text
from pipelines.compare import check, run_comparison
from pipelines.compare_config import CompareConfig, read_comparison
from pipelines.compare_page import markdown, terminal_table, write_files
from pipelines.compare_table import cell_frame, tables
from pipelines.compare_tracking import Recorder
from pipelines.launch import ray_session
from pipelines.plan import absolute
from pipelines.progress import console
from pipelines.tracking import page_command


def command_line() -> str:
    """What the user typed."""
    return "cu " + " ".join(f"'{a}'" if any(c in a for c in "|[]{}* ") else a for a in sys.argv[1:])


def compare(path: Path, overrides: Sequence[str], out: Path | None) -> None:
    """Run what is not finished and write the tables."""
    comparison = read_comparison(path, overrides)
    check(comparison)
    first = next(iter(comparison.config.requests.values()))[0]
    request = first if first.get("kind") == "by_class" else {"kind": "by_random", "count": 1}
    config = absolute(comparison.run_config(request, comparison.config.seeds[0], tuning=False))
    digest = digest_of([comparison.base, TypeAdapter(CompareConfig).dump_python(comparison.config, mode="json")])
    folder = config.store / "compare" / path.stem
    with ray_session(config):
        recorder = Recorder(config, f"compare {path.stem}", comparison.config, digest)
        status = "FAILED"
        try:
            finished = run_comparison(comparison, recorder)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            if status != "FINISHED":
                recorder.finish(status)
    frame = cell_frame(finished)
    made = tables(finished, frame)
    write_files(finished, frame, made, command_line(), folder)
    recorder.finish("FINISHED", folder)
    for table in made:
        console.print(terminal_table(table))
        for warning in table.warnings:
            console.print(f"[bold yellow]warning[/] {warning}", highlight=False)
    if out is not None:
        write_text(out, markdown(finished, made, command_line()))
        console.print(f"written to {out}")
    console.print(f"report  {folder / 'report.html'}", soft_wrap=True, highlight=False)
    console.print(f"MLflow  {page_command(config)}", soft_wrap=True, highlight=False)
