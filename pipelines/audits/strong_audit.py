"""``cu audit-strong``: audit a method on one request with pools of models."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.table import Table

from cu_core import __version__
from cu_core.audit import strong
from cu_core.audit.explain_strong import STRONG
from cu_core.audit.strong import Margins, StrongFigure
from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.errors import ConfigError
from cu_core.files import atomic_folder, write_text
from pipelines.audits.pools import pool_a, pool_b, run_members, target_rows, trained_on
from pipelines.report.markdown import markdown_table
from pipelines.report.provenance import command_line, machine
from pipelines.run.plan import make_plan

LEAST_MODELS = 8


@dataclass(frozen=True, kw_only=True)
class StrongReport:
    """The figures, and the settings and versions they were made with."""

    method: str
    request: Mapping[str, Any]
    models: int
    """Members of each pool."""
    targets: int
    figures: tuple[StrongFigure, ...]
    absent: Mapping[str, str]
    """Figures that could not be computed with this number of models, and the reasons."""
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]


def strong_audit(config: RunConfig, models: int, out: Path) -> StrongReport:
    """Make both pools and write their figures to the folder ``out``, which appears when it is complete.

    Raises: ConfigError if ``out`` exists or there are too few models.
    """
    if out.exists():
        raise ConfigError(f"--out {out} already exists; name a new folder.")
    if models < LEAST_MODELS or models % 2:
        raise ConfigError(f"--models must be an even number of at least {LEAST_MODELS}, got {models}.")
    if config.model.weights not in (None, "pretrained"):
        raise ConfigError(
            "a strong audit trains its own originals, under many seeds and on halves of the data; model.weights must "
            "be absent or pretrained."
        )
    base = make_plan(config)
    if base.manifest.num_classes < 2:
        raise ConfigError(f"a strong audit needs classes; {config.data.path} holds pairs without classes.")
    seeds, halves = pool_a(base, models), pool_b(base, models)
    run_members([*seeds, *halves])
    a: dict[str, list[Margins]] = {role: [m.margins(role) for m in seeds] for role in seeds[0].models}
    b: dict[str, list[Margins]] = {role: [m.margins(role) for m in halves] for role in halves[0].models}
    distances, absent = strong.pool_a(a)
    report = StrongReport(
        method=config.method.name,
        request=asdict(config.request),
        models=models,
        targets=len(target_rows(base)),
        figures=(*strong.pool_b(b, trained_on(halves)), *distances),
        absent=absent,
        digests={"data": base.manifest.digest, "request": base.forget.digest, "config": base.digest},
        versions={"cu": __version__, "python": platform.python_version(), "torch": version("torch")},
        settings=as_plain(config),
    )
    with atomic_folder(out.resolve()) as partial:
        write_text(partial / "strong.json", TypeAdapter(StrongReport).dump_json(report, indent=1).decode())
        write_text(partial / "strong.md", markdown(report))
    return report


def _cells(figure: StrongFigure) -> list[str]:
    interval = "" if figure.low is None else f"{figure.low:.3f} to {figure.high:.3f}"
    finds = "" if figure.detects is None else f"{figure.detects:.2f} sd"
    values = (f"{value:.3f}" for value in (figure.doing_nothing, figure.retrained))
    return [figure.title, f"{figure.unlearned:.3f}", interval, *values, finds]


HEADINGS = ("figure", "unlearned", "95% interval", "doing nothing", "retrained", "finds")


def table(report: StrongReport) -> Table:
    shown = Table(title=f"strong audit: {report.method}, {report.models} models per pool", title_justify="left")
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading == "figure" else "right")
    for figure in report.figures:
        shown.add_row(*_cells(figure))
    for name, reason in report.absent.items():
        shown.add_row(f"{name}: absent, {reason}", *[""] * (len(HEADINGS) - 1))
    return shown


def markdown(report: StrongReport) -> str:
    told = [f"- *{f.title}* (`cu explain {f.name}`): {STRONG[f.name].definition}" for f in report.figures]
    told += [f"- {name} is absent: {reason}." for name, reason in report.absent.items()]
    told.append(
        "- *finds*: the smallest shift of all margins that is detected in 80% of audits, by the excess over the "
        "retrained column"
    )
    return (
        f"```\n{command_line()}\n```\n\n"
        f"{report.method} on {report.targets} target rows. Distances and forgetting quality use {report.models} seeds: "
        f"one half is compared with the oracles of the other half. U-LiRA and U-RMIA use {report.models} models on "
        f"random halves of the training rows (leave-one-out, 0.5 is chance). {machine()}.\n\n"
        + markdown_table(HEADINGS, map(_cells, report.figures))
        + "\n\n"
        + "\n".join(told)
        + "\n"
    )
