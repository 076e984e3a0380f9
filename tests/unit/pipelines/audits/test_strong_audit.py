from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cu_core.audit.strong import Margins, StrongFigure
from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from pipelines.audits import strong_audit as module
from pipelines.audits.pools import Member
from pipelines.audits.strong_audit import HEADINGS, StrongReport, _cells, markdown, strong_audit, table
from tests.conftest import small

FIGURES = (
    StrongFigure("u_lira_auc", "U-LiRA", 0.61234, 0.5, 0.7, 0.9, 0.5),
    StrongFigure("klom_forget", "KLoM, forget", 1.5, None, None, 4.0, 0.25, detects=0.333),
)
REPORT = StrongReport(
    method="scrub", request={}, models=8, targets=30, figures=FIGURES, absent={"gaussian": "too few models"},
    digests={}, versions={}, settings={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("models", "message"), [(6, "at least 8, got 6"), (9, "an even number of at least 8, got 9"), (0, "got 0")]
)
def test_pools_that_cannot_be_halved_are_refused(
    models: int, message: str, class_config: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        strong_audit(class_config, models, tmp_path / "out")


def test_a_folder_that_exists_and_weights_of_one_seed_are_refused(class_config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="already exists; name a new folder"):
        strong_audit(class_config, 8, tmp_path)
    own = replace(class_config, model=replace(class_config.model, weights="a.pt"))
    with pytest.raises(ConfigError, match=r"model\.weights must be absent or pretrained"):
        strong_audit(own, 8, tmp_path / "out")


def test_both_pools_are_made_and_their_figures_written(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Member] = []
    given: dict[str, Any] = {}

    def run(members: list[Member]) -> None:
        """Save margins that tell the member and the role."""
        for number, member in enumerate(members):
            made.append(member)
            for role in member.models:
                rows = np.array([number, list(member.models).index(role)], dtype=np.float64)
                Margins(rows, rows, rows[0], rows[1]).save(member.margins_file(role))

    def pool_a(pool: Any) -> Any:
        given["a"] = pool
        return [FIGURES[1]], {"gaussian": "too few models"}

    def pool_b(pool: Any, mask: np.ndarray) -> Any:
        given["b"], given["mask"] = pool, mask
        return [FIGURES[0]]

    monkeypatch.setattr(module, "LEAST_MODELS", 2)
    monkeypatch.setattr(module, "run_members", run)
    monkeypatch.setattr(module.strong, "pool_a", pool_a)
    monkeypatch.setattr(module.strong, "pool_b", pool_b)
    config = small(digits, tmp_path / "storage")
    report = strong_audit(config, 2, tmp_path / "out")
    assert [m.label for m in made] == ["seed 0", "seed 1", "half 0", "half 1"]
    told = {
        name: {role: [kept.target.tolist() for kept in margins] for role, margins in given[name].items()}
        for name in ("a", "b")
    }
    assert told["a"] == {role: [[n, k] for n in (0, 1)] for k, role in enumerate(("original", "unlearned", "oracle"))}
    assert told["b"] == {role: [[n, k] for n in (2, 3)] for k, role in enumerate(("original", "unlearned"))}
    assert given["mask"].tolist() == module.trained_on(made[2:]).tolist()
    assert (report.models, report.method, report.targets) == (2, "contrastive", len(module.target_rows(made[0].base)))
    assert (report.figures, report.absent) == (FIGURES, {"gaussian": "too few models"})
    assert report.digests["request"] == made[0].base.forget.digest
    written = json.loads((tmp_path / "out" / "strong.json").read_text())
    assert [f["name"] for f in written["figures"]] == ["u_lira_auc", "klom_forget"]
    assert (tmp_path / "out" / "strong.md").read_text() == markdown(report)


def test_cells_hold_what_there_is() -> None:
    assert len(HEADINGS) == 6
    assert _cells(FIGURES[0]) == ["U-LiRA", "0.612", "0.500 to 0.700", "0.900", "0.500", ""]
    assert _cells(FIGURES[1]) == ["KLoM, forget", "1.500", "", "4.000", "0.250", "0.33 sd"]


def test_what_is_absent_has_its_reason() -> None:
    shown = table(REPORT)
    assert shown.row_count == 3
    assert list(shown.columns[0].cells)[2] == "gaussian: absent, too few models"
    text = markdown(replace(REPORT, figures=FIGURES[:1]))
    assert "- gaussian is absent: too few models." in text
    assert "- *U-LiRA* (`cu explain u_lira_auc`): How well an attacker" in text
    assert "scrub on 30 target rows" in text
