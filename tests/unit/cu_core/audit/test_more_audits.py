"""Audits on request: made only if named, and said why where they find nothing."""

from __future__ import annotations

import typing

import pytest

from cu_core.audit.more_audits import MISSING, MORE_AUDITS, MORE_METRICS
from cu_core.audit.report import absent_metrics
from cu_core.audit.subject import OF_CLASSES, AuditConfig, MoreAudit
from cu_core.audit.table import METRICS
from cu_core.config_io import config_from
from cu_core.errors import UserError
from cu_core.evidence import claim_of
from cu_core.types import MetricResult
from tests.unit.cu_core.planted import PlantedReader, planted_split

FOUND = {"forget_accuracy": MetricResult(1.0, 1), "forget_i2t_r1": MetricResult(1.0, 1)}
PAIRS = {"model": {"name": "open_clip:ViT-B-32"}, "method": {"name": "finetune"}}


def test_the_tables_name_the_same_audits() -> None:
    names = set(typing.get_args(MoreAudit))
    assert names == set(MORE_AUDITS) == set(MISSING) == {metric.audit for metric in MORE_METRICS.values()}
    assert {name for name, audit in MORE_AUDITS.items() if audit.kinds == ("class",)} == set(OF_CLASSES)
    assert all(audit.on_request and audit.pairs_only for audit in MORE_AUDITS.values())


def test_each_is_judged_by_one_figure_or_two() -> None:
    judged = [metric.audit for metric in MORE_METRICS.values() if metric.judged]
    assert set(judged) == set(MORE_AUDITS)
    assert not any(metric.in_gap for metric in MORE_METRICS.values())


@pytest.mark.parametrize("name", list(MORE_METRICS))
def test_what_was_asked_for_and_is_not_there_has_its_reason(name: str) -> None:
    assert name not in absent_metrics("class", FOUND, 3, AuditConfig())
    audit: typing.Any = METRICS[name].audit
    asked = absent_metrics("class", FOUND, 3, AuditConfig(more_audits=(audit,)))
    assert asked[name] == MISSING[audit]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"audit": {"more_audits": ["hubness"]}}, "more_audits are for image-text models"),
        (
            {**PAIRS, "request": {"kind": "by_random", "count": 3}, "audit": {"more_audits": ["compositions"]}},
            "more_audits=compositions is for requests of a class or concept",
        ),
        ({**PAIRS, "audit": {"more_audits": ["hubnes"]}}, "more_audits"),
        ({**PAIRS, "audit": {"audits": ["accuracy", "membership", "hubness"]}}, "audits"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, typing.Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_from(settings)


def test_an_audit_on_request_changes_the_keys_of_figures_only() -> None:
    plain, more = (config_from({**PAIRS, "audit": {"more_audits": names}}) for names in ((), ("hubness",)))
    assert plain.original_key("d") == more.original_key("d")
    assert plain.figures_key("m", "f") != more.figures_key("m", "f")


def test_the_verdict_is_about_what_was_asked_for() -> None:
    split = planted_split(PlantedReader(train=[0, 1], val=[0, 1], test=[0, 1]), "class", [0])
    claim = claim_of(config_from({**PAIRS, "audit": {"more_audits": ["hubness"]}}), split)
    assert {"caption_occurrence_max", "image_occurrence_max"} <= {*claim.judged}
    assert "image_search_precision" not in claim.judged
