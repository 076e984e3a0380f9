"""A page of a comparison holds cells of one setting a method: digests, and the check that none other is mixed in."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import as_plain
from cu_core.errors import UserError
from cu_core.files import digest_of
from pipelines.compare.config import Comparison
from pipelines.compare.run import ComparisonResult, Result

PARTS = ("method", "optimizer", "batches", "batch_norm", "stop")
STEPS = ("max_steps", "check_every", "further_steps")
"""Of the stop rule: they follow from the budget and the size of the request."""


def settings_digest(comparison: Comparison, label: str) -> str:
    """Of what a method is by the file, the presets and the defaults of today: settings, budget, ranges of its search.
    A page that records another was made with older defaults."""
    config, competitor = comparison.config, comparison.config.methods[label]
    request = next(iter(config.requests.values()))[0]
    if request.get("kind") == "by_score":
        request = {"path": "scores.parquet", **request}
    run = comparison.uncut(label, {}, request, config.seeds[0], tuning=False)
    budget = competitor.budget_rows or config.budget_rows
    return digest_of([*_of(run).values(), budget, comparison.space(label)])[:8]


def _of(config: RunConfig) -> dict[str, Any]:
    plain = as_plain(config)
    return {part: plain[part] for part in PARTS}


def check_unmixed(finished: ComparisonResult) -> None:
    """Raises: UserError if cells of a method ran with different settings, or if a cell that was found was made with
    others than it is asked for now."""
    seen: dict[str, Result] = {}
    for result in finished.results:
        config, outcome = result.cell.plan.config, result.outcome
        if isinstance(outcome, AuditReport) and outcome.settings:
            kept = {part: outcome.settings.get(part) for part in PARTS}
            if kept != _of(config):
                raise UserError(
                    f"{result.cell.label}: the cell in {result.cell.folder} was made with other settings than it is "
                    f"asked for; remove that folder, and it is run again."
                )
        first = seen.setdefault(result.method, result)
        if _comparable(config) != _comparable(first.cell.plan.config):
            raise UserError(
                f"methods.{result.method}: {first.cell.label} and {result.cell.label} have different settings; a page "
                f"holds one setting of a method."
            )


def _comparable(config: RunConfig) -> dict[str, Any]:
    """Without what follows from the request's size."""
    stop = replace(config.stop, **dict.fromkeys(STEPS, 1))
    return _of(config) | {"stop": asdict(stop)}
