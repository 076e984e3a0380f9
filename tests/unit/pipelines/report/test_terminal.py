from __future__ import annotations

from dataclasses import replace

from cu_core.audit.limits import Limits
from cu_core.config_io import config_from
from pipelines.report.terminal import end_table, limits_line
from tests.unit.pipelines.reports import report


def test_a_verdict_says_what_it_can_detect() -> None:
    """Of models with 2% left in training 7 of 10 are told, with 5% 8, with 10% all."""
    limits = Limits(5, 0.05, (1, 40), {2: (7, 10), 5: (8, 10), 10: (10, 10)}, {}, {})
    plain = report(config_from({}))
    measured = replace(plain, limits=limits, rows=(replace(plain.rows[0], tolerance=3.0),))
    told = (
        "Detection limit: 5% of the forget rows left in training is found in 80% of judgements; false alarms with 5 "
        "oracles: 1 of 40 judgements."
    )
    assert limits_line(measured) == told
    assert str(end_table(measured).caption).endswith(told)
    blind = replace(plain, limits=replace(limits, left={2: (7, 10)}))
    assert limits_line(blind) == told.replace("5% of the", "none of 2% of the")
    assert "limit was not measured on this data" in limits_line(replace(plain, limits=replace(limits, left={})))
    assert "was not measured on this data" in limits_line(plain)
