"""A cell's model is found again by every audit of it, its report by none but its own."""

from __future__ import annotations

from pathlib import Path

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import as_plain, config_from
from cu_core.yaml_io import overridden
from pipelines.grid.cells import Cell
from pipelines.run.plan import make_plan
from tests.conftest import small


def cell(config: RunConfig, *overrides: str) -> Cell:
    return Cell("", make_plan(config_from(overridden(as_plain(config), overrides))))


def test_another_audit_finds_the_same_model(digits: Path, tmp_path: Path) -> None:
    config = small(digits, tmp_path)
    base, audited, sure = (cell(config, *o) for o in ([], ["audit.max_rows=20"], ["audit.margin_points=2"]))
    assert base.folder == audited.folder == sure.folder
    assert len({c.report_file for c in (base, audited, sure)}) == len({c.digest for c in (base, audited, sure)}) == 3
    more = cell(config, "audit.oracles=2")
    assert more.folder == base.folder
    assert more.report_file != base.report_file
    for setting in ("method.lambda_ce=3", "seed=1", "request.classes=[4]", "train.epochs=2"):
        assert cell(config, setting).folder != base.folder, setting
    assert cell(config, "name=x", "workers.count=4").report_file == base.report_file


def test_a_failed_audit_leaves_the_model_to_others(digits: Path, tmp_path: Path) -> None:
    base, audited = (cell(small(digits, tmp_path), *o) for o in ([], ["audit.max_rows=20"]))
    base.folder.mkdir(parents=True)
    base.failures[1].write_text('{"reason": "not finite"}')
    assert base.outcome is not None
    assert not isinstance(base.outcome, AuditReport)
    assert audited.outcome is None
    base.failures[0].write_text('{"reason": "not finite"}')
    assert audited.outcome is not None
