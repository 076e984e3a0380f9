"""``cu calibrate``: how often the verdict is wrong on models for which it is known, oracles and the original."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from rich.table import Table

from cu_core.audit.verdict import Verdict, judge
from cu_core.config import RunConfig
from cu_core.config_io import ConfigError
from cu_core.files import write_text
from cu_core.run import open_reader, open_split
from cu_core.run_audit import Evidence, gather
from pipelines import launch
from pipelines.plan import Plan, make_plan
from pipelines.progress import console, ray_board
from pipelines.session import ray_session
from pipelines.tables import command_line, machine

FEWEST = 3
"""Oracles that make a control."""


@dataclass(frozen=True)
class Trial:
    """Verdicts with K oracles a verdict: of every oracle, held out, and of the original."""

    oracles: int
    held_out: Sequence[Verdict]
    original: Sequence[Verdict]


def judge_all(evidence: Evidence, oracles: Sequence[str], count: int, seed: int = 0) -> Trial:
    """Each oracle, and the original beside it, against ``count`` of the others, drawn at random."""
    rng = np.random.default_rng([seed, count])
    held_out, original = [], []
    for role in oracles:
        against = sorted(rng.choice([o for o in oracles if o != role], count, replace=False).tolist())
        figures = [evidence.figures(o, against) for o in against]
        before, after = (evidence.figures(r, against) for r in ("original", role))
        rest = evidence.without(against)
        held_out.append(judge(before, after, figures, evidence.config, rest))
        original.append(judge(before, before, figures, evidence.config, rest))
    return Trial(count, held_out, original)


@ray.remote
def _gather(plan: Plan, roles: dict[str, Path]) -> Evidence:
    split = open_split(plan.config, open_reader(plan.config), plan.forget_file)
    return gather(plan.config, split, roles, launch.device_of(plan.config))


def calibrate(config: RunConfig, counts: Sequence[int], out: Path | None) -> list[Trial]:
    """Train ``audit.oracles`` oracles, audit them as if each had been unlearned, and table the verdicts.

    Raises: ConfigError if there are too few oracles, or fewer than three are to judge.
    """
    if min(counts) < FEWEST:
        raise ConfigError(f"--against {min(counts)}: a verdict needs at least {FEWEST} oracles.")
    if max(counts) >= config.audit.oracles:
        raise ConfigError(
            f"--against {max(counts)} needs more than {max(counts)} oracles; set audit.oracles higher, e.g. "
            f"audit.oracles={2 * max(counts)}."
        )
    plan = make_plan(config)
    roles = {"original": plan.original.folder, **{f"oracle_{i}": job.folder for i, job in enumerate(plan.oracles)}}
    with ray_session(plan.config):
        launch.train_missing(plan.config, plan.missing, local=False)
        options = launch.task_options(plan.config)
        with ray_board() as board:
            tasks = [_gather.options(**options).remote(plan, {role: folder}) for role, folder in roles.items()]
            parts, pending = [], tasks
            while pending:
                ready, pending = ray.wait(pending)
                parts += ray.get(ready)
                board.update.remote("audit", len(parts), len(tasks), "")
    evidence = Evidence(
        parts[0].kind,
        plan.config.audit,
        {role: figures for part in parts for role, figures in part.alone.items()},
        {role: answers for part in parts for role, answers in part.answers.items()},
    )
    oracles = [role for role in roles if role != "original"]
    trials = [judge_all(evidence, oracles, count) for count in counts]
    if out is not None:
        write_text(out, markdown(trials, config))
        console.print(f"written to {out}")
    return trials


HEADINGS = ("oracles a verdict", "held-out oracles told apart", "their verdicts", "verdicts on the original")


def _cells(trial: Trial) -> list[str]:
    def words(verdicts: Sequence[Verdict]) -> str:
        return ", ".join(f"{n} {word}" for word, n in Counter(v.word for v in verdicts).most_common())

    told = sum(bool(v.outside) for v in trial.held_out)
    return [str(trial.oracles), f"{told} of {len(trial.held_out)}", words(trial.held_out), words(trial.original)]


def table(trials: Sequence[Trial]) -> Table:
    shown = Table(title="verdicts on models that never saw the data, and on the original", title_justify="left")
    for heading in HEADINGS:
        shown.add_column(heading)
    for trial in trials:
        shown.add_row(*_cells(trial))
    return shown


def markdown(trials: Sequence[Trial], config: RunConfig) -> str:
    lines = [f"| {' | '.join(HEADINGS)} |", "|" + "---|" * len(HEADINGS)]
    lines += [f"| {' | '.join(_cells(trial))} |" for trial in trials]
    return (
        f"```\n{command_line()}\n```\n\n"
        f"{config.audit.oracles} oracles, each judged by others drawn at random; stated error of a verdict "
        f"{config.audit.family_error:.0%}; {machine()}.\n\n" + "\n".join(lines) + "\n"
    )
