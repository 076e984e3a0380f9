"""Commands that are printed for a user to copy, and what is said of a verdict's limits."""

from __future__ import annotations

from dataclasses import replace

from cu_core.audit.limits import Limits
from cu_core.config_io import config_from
from pipelines.report.provenance import from_nothing, resumed
from pipelines.report.terminal import end_table, limits_line
from tests.unit.pipelines.reports import report


def test_a_named_sweep_goes_on_by_its_name() -> None:
    assert resumed("cu sweep a.yaml trials=8 --name par", "par") == "cu sweep a.yaml trials=8 --resume par"
    assert resumed("cu sweep a.yaml", "a") == "cu sweep a.yaml --resume a"
    assert resumed("cu sweep a.yaml --resume a", "a") == "cu sweep a.yaml --resume a"


def test_a_resumed_sweep_is_made_again_under_its_name() -> None:
    assert from_nothing("cu sweep a.yaml --resume par") == "cu sweep a.yaml --name par"


def test_a_verdict_says_what_it_can_detect() -> None:
    """Of models with 2% left in training 7 of 10 are told, with 5% 8, with 10% all."""
    limits = Limits(5, 0.05, (1, 40), {2: (7, 10), 5: (8, 10), 10: (10, 10)}, {}, {})
    plain = report(config_from({}))
    measured = replace(plain, limits=limits, rows=(replace(plain.rows[0], tolerance=3.0),))
    told = (
        "Detection limit: 5% of the forget rows left in training is told in 80% of the models; held-out oracles told "
        "from 5 others: 1 of 40."
    )
    assert limits_line(measured) == told
    assert str(end_table(measured).caption).endswith(told)
    blind = replace(plain, limits=replace(limits, left={2: (7, 10)}))
    assert limits_line(blind) == told.replace("5% of the", "none of the amounts of the")
    assert "was not measured on this data" in limits_line(plain)
