"""``cu calibrate``: measure what the verdict detects, on models for which the correct verdict is known.

Three kinds of models are judged as if they had been unlearned:

- Held-out oracles. One that is found different from the others is a false alarm.
- Models that were trained with a part of the forget rows. The smallest part that is found is the detection limit.
- Damaged models: a part of the retain rows is left out of the training, or noise is added to the weights of an oracle.

Every model is judged several times, each time by other oracles, which are drawn at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import ray
from rich.table import Table

from cu_core.audit.limits import Limits
from cu_core.audit.verdict import FEWEST_ORACLES, Rule, judge
from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.evidence import Evidence, gather
from cu_core.files import write_text
from cu_core.metrics.accuracy import wilson_interval
from cu_core.run_audit import LIMITS, limits_file
from cu_core.storage import fetched
from cu_core.stored import read_stored
from cu_core.types import Word
from pipelines.audits.calibrate_models import Amounts, Sort, check_amounts, make_models
from pipelines.cluster.board import ray_board
from pipelines.cluster.session import ray_session
from pipelines.console import console
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line, machine
from pipelines.run.plan import Plan, make_plan
from pipelines.run.task_options import device_of, ray_task, task_options

DRAWS = 10
"""Number of sets of oracles that judge each model."""


@dataclass(frozen=True)
class Judged:
    """Verdicts on models of one kind: ``DRAWS`` per model, each with ``oracles`` oracles."""

    sort: Sort
    oracles: int
    words: Mapping[Word, int]
    told: int
    """Judgements that found a primary metric outside its tolerance."""

    @property
    def count(self) -> int:
        return sum(self.words.values())


def judge_all(
    plan: Plan, evidence: Evidence, sorts: Sequence[Sort], oracles: Sequence[str], count: int
) -> list[Judged]:
    """Judge each model ``DRAWS`` times by ``count`` other oracles, which are drawn at random."""
    rng = np.random.default_rng([plan.config.seed, count])
    # Distances on test rows are not judged, and take most of the time.
    short = {role: replace(answers, test=answers.test[:1]) for role, answers in evidence.answers.items()}
    evidence, found = replace(evidence, answers=short), []
    for sort in sorts:
        words: Counter[Word] = Counter()
        told = 0
        for role in sort.models:
            for _ in range(DRAWS):
                others = [o for o in oracles if o not in (role, sort.made_of.get(role))]
                against = sorted(rng.choice(others, count, replace=False).tolist())
                figures = [evidence.figures(o, against) for o in against]
                before, after = (evidence.figures(r, against) for r in ("original", role))
                rule = Rule(evidence.claim, figures, plan.config.audit)
                verdict = judge(before, after, rule, evidence.without(against))
                words[verdict.word] += 1
                told += bool(verdict.outside)
        found.append(Judged(sort, count, words, told))
    return found


@ray_task
def _gather(plan: Plan, roles: dict[str, Path]) -> Evidence:
    return gather(plan.workspace, roles, device_of(plan.config))


def _evidence(plan: Plan, roles: Mapping[str, Path]) -> Evidence:
    """Audit every model in a task of its own, side by side."""
    options = task_options(plan.config)
    with ray_board() as board:
        tasks = [_gather.options(**options).remote(plan, {role: folder}) for role, folder in roles.items()]
        parts, pending = [], tasks
        while pending:
            ready, pending = ray.wait(pending)
            parts += ray.get(ready)
            board.update.remote("audit", len(parts), len(tasks), "")
    return Evidence(
        parts[0].claim,
        plan.config.audit,
        {role: figures for part in parts for role, figures in part.alone.items()},
        {role: answers for part in parts for role, answers in part.answers.items()},
        [line for part in parts for line in part.elsewhere],
    )


def calibrate(config: RunConfig, counts: Sequence[int], amounts: Amounts, out: Path | None) -> list[Judged]:
    """Train ``audit.oracles`` oracles and the models of ``amounts``, judge all of them and count the verdicts.

    Raises: ConfigError if there are too few oracles, if fewer than three judge, or if an amount is out of range.
    """
    check_out(out)
    _check(config, counts, amounts)
    plan = make_plan(config)
    check_amounts(plan, amounts)
    sorts = make_models(plan, amounts)
    with ray_session(plan.config):
        evidence = _evidence(plan, {role: folder for sort in sorts for role, folder in sort.models.items()})
    judged = [row for count in counts for row in judge_all(plan, evidence, sorts, list(sorts[0].models), count)]
    for count in counts:
        file = limits_file(plan.config, plan.forget, count)
        limits = limits_of(judged, count, plan.config)
        before = read_stored(file, LIMITS, "delete it") if fetched(file) else None
        write_text(file, LIMITS.dump_json(limits.with_amounts_of(before) if before else limits).decode())
    if out is not None:
        write_text(out, markdown(judged, plan.config))
        console.print(f"written to {out}")
    return judged


def _check(config: RunConfig, counts: Sequence[int], amounts: Amounts) -> None:
    if min(counts) < FEWEST_ORACLES:
        raise ConfigError(f"--against {min(counts)}: a verdict needs at least {FEWEST_ORACLES} oracles.")
    if max(counts) >= config.audit.oracles:
        raise ConfigError(
            f"--against {max(counts)} needs more than {max(counts)} oracles; set audit.oracles higher, e.g. "
            f"audit.oracles={2 * max(counts)}."
        )
    for name, values in {"against": counts, "left": amounts.left, "lost": amounts.lost, "noise": amounts.noise}.items():
        if len({*values}) < len(values):
            raise ConfigError(f"--{name} {' '.join(map(str, values))}: a value is given twice.")
    shares = [*amounts.left, *amounts.lost]
    if not all(0 < share < 100 for share in shares) or not all(0 < level < 1000 for level in amounts.noise):
        raise ConfigError("--left and --lost are percentages above 0 and below 100, --noise above 0 and below 1000.")
    if not 1 <= amounts.replicates <= config.audit.oracles:
        raise ConfigError(f"--replicates must be between 1 and audit.oracles, {config.audit.oracles}.")


def limits_of(judged: Sequence[Judged], count: int, config: RunConfig) -> Limits:
    """Count what the verdict with ``count`` oracles detected, in judgements."""
    rows = [row for row in judged if row.oracles == count]
    (alarms,) = [row for row in rows if row.sort.what == "held-out oracle"]
    left = {r.sort.percent: (r.words.get("under-forgotten", 0), r.count) for r in rows if r.sort.what == "left in"}
    lost = {r.sort.percent: (r.told, r.count) for r in rows if r.sort.what == "retain rows lost"}
    noise = {r.sort.percent: (r.told, r.count) for r in rows if r.sort.what == "noise on weights"}
    return Limits(count, config.audit.family_error, (alarms.told, alarms.count), left, lost, noise)


HEADINGS = (
    "model", "percent", "oracles a verdict", "models", "outside a tolerance", "under-forgotten", "over-forgotten",
    "inconclusive", "indistinguishable",
)  # fmt: skip


def _cells(row: Judged) -> list[str]:
    def share(number: int) -> str:
        return f"{100 * number / row.count:.0f}%"

    models = len(row.sort.models)
    low, high = wilson_interval(models * row.told / row.count, models)
    words = [share(row.words.get(word, 0)) for word in ("under-forgotten", "over-forgotten", "inconclusive")]
    return [
        row.sort.what,
        f"{row.sort.percent:g}",
        str(row.oracles),
        str(models),
        f"{share(row.told)} ({100 * low:.0f} to {100 * high:.0f})",
        *words,
        share(row.words.get("indistinguishable", 0)),
    ]


def table(judged: Sequence[Judged]) -> Table:
    shown = Table(title="verdicts on models with a known verdict", title_justify="left")
    for heading in HEADINGS:
        shown.add_column(heading)
    for row in judged:
        shown.add_row(*_cells(row))
    shown.caption = f"percent of {DRAWS} judgements per model; in brackets: 95% interval over models"
    return shown


def markdown(judged: Sequence[Judged], config: RunConfig) -> str:
    return (
        f"```\n{command_line()}\n```\n\n"
        f"{config.audit.oracles} oracles. Each model is judged {DRAWS} times, by other oracles drawn at random. "
        f"Percentages are of judgements, intervals (95%) over models. Stated error of a verdict: "
        f"{config.audit.family_error:.0%}; {machine()}.\n\n" + markdown_table(HEADINGS, map(_cells, judged)) + "\n"
    )
