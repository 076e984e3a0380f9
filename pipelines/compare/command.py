"""``cu compare``: the command and its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console

from cu_core.files import digest_of, write_text
from cu_core.storage import shown
from pipelines.cluster.session import ray_session
from pipelines.compare.config import CompareConfig, Comparison, read_comparison
from pipelines.compare.page import LEGEND, all_tables, terminal_table, write_files
from pipelines.compare.run import ComparisonResult, check, run_comparison
from pipelines.compare.search_table import left_out
from pipelines.compare.table import cell_frame
from pipelines.console import console
from pipelines.grid.nested_runs import Recorder
from pipelines.report.markdown import check_out
from pipelines.report.provenance import command_line
from pipelines.run.plan import absolute
from pipelines.tracking.mlflow_runs import check_tracking
from pipelines.tracking.server import page_command

TABLE_WIDTH = 132


def run_tracked(comparison: Comparison, name: str) -> tuple[ComparisonResult, Path]:
    """Run the unfinished cells, record them in MLflow, and write tables and report to ``storage/compare/NAME``."""
    check(comparison)
    config = absolute(comparison.plain_config(comparison.config.seeds[0]))
    digest = comparison_digest(comparison)
    folder = config.store / "compare" / name.replace(" ", "_")
    check_tracking(config, registers=False)
    with ray_session(config):
        recorder = Recorder(config, f"compare {name}", asdict(comparison.config), digest)
        status = "FAILED"
        try:
            finished = run_comparison(comparison, recorder)
            write_files(finished, command_line(), folder)
            means = cell_frame(finished).groupby(["group", "method"])["gap"].mean().dropna()
            recorder.finish("FINISHED", folder, {f"gap/{g}/{m}": float(gap) for (g, m), gap in means.items()})
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            if status != "FINISHED":
                recorder.finish(status)
    return finished, folder


def comparison_digest(comparison: Comparison) -> str:
    return digest_of([comparison.base, TypeAdapter(CompareConfig).dump_python(comparison.config, mode="json")])


def compare(path: Path, overrides: Sequence[str], out: Path | None, only: Sequence[str] | None = None) -> None:
    """Run `cu compare FILE` and print the tables. ``only`` names the methods; ``None``: all methods of the file."""
    check_out(out)
    comparison = read_comparison(path, overrides, only)
    # With changed settings it is another comparison, which must not replace the tables of the file itself.
    name = f"{path.stem} {comparison_digest(comparison)[:6]}" if overrides or only else path.stem
    finished, folder = run_tracked(comparison, name)
    for table in [t for t in all_tables(finished, cell_frame(finished)) if t.brief]:
        Console(stderr=True, width=max(console.width, TABLE_WIDTH)).print(terminal_table(table))
        for note in table.notes:
            console.print(note, highlight=False)
        for warning in table.warnings:
            console.print(f"[bold yellow]warning[/] {warning}", highlight=False)
    for line in left_out(finished):
        console.print(f"left out: {line}", highlight=False)
    console.print(LEGEND, highlight=False)
    if out is not None:
        write_text(out, (folder / "table.md").read_text())
        console.print(f"written to {shown(out)}")
    console.print(f"report  {shown(folder / 'report.html')}", soft_wrap=True, highlight=False)
    config = finished.results[0].cell.plan.config
    console.print(f"MLflow  {page_command(config)}", soft_wrap=True, highlight=False)
