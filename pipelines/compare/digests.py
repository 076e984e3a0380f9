"""Digests of the settings of a method, and the check that a page holds one setting per method."""

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
"""Settings of the stop rule that follow from the budget and from the size of the request."""


def settings_digest(comparison: Comparison, label: str) -> str:
    """Compute the digest of a method's settings, budget and search ranges, with the current presets and defaults.

    If a page records another digest, it was made with other defaults.
    """
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
    """Check that the cells of each method have one setting.

    Raises: UserError if cells of a method ran with different settings, or if a stored cell was made with settings other
        than those requested now.
    """
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
    """Return the settings without those that follow from the size of the request."""
    steps: dict[str, Any] = dict.fromkeys(STEPS, 1)
    stop = replace(config.stop, **steps)
    return _of(config) | {"stop": asdict(stop)}
