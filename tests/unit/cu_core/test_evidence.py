from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cu_core import evidence
from cu_core.audit import subject
from cu_core.evidence import Evidence, gather, is_measured, measure_alone, measure_part
from cu_core.run import Hooks, run_train
from cu_core.unlearn import evaluate
from cu_core.workspace import Workspace
from tests.conftest import small


def test_what_was_measured_alone_is_found(
    digits: Path, class_request: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures and answers are those of an audit that measures all models itself, and nothing is measured again."""
    audit = {"oracles": 1, "audits": ["accuracy", "membership"], "max_rows": 60}
    config = small(digits, tmp_path / "one", train={"epochs": 0.2, "batch": 64}, audit=audit)
    folders = {"original": tmp_path / "original", "oracle_0": tmp_path / "oracle"}
    run_train(Workspace(config), folders["original"], Hooks())
    run_train(Workspace(config, class_request), folders["oracle_0"], Hooks())
    device = torch.device("cpu")
    want = gather(Workspace(config, class_request), folders, device)

    other = small(digits, tmp_path / "other", train={"epochs": 0.2, "batch": 64}, audit=audit)
    asked = Workspace(other, class_request)
    for folder in folders.values():
        measure_alone(asked, folder, device)
    monkeypatch.setattr(evidence, "audit_alone", lambda subject: pytest.fail("it was measured again"))
    monkeypatch.setattr(evidence, "load_model", lambda *given: pytest.fail("it was loaded, and nothing asked of it"))
    have = gather(asked, folders, device)
    assert have.alone == want.alone
    assert have.figures("original", ["oracle_0"]) == want.figures("original", ["oracle_0"])


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_figures_do_not_depend_on_the_number_of_parts(
    kind: str, digits: Path, class_request: Path, sample_request: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every figure and answer is bit for bit that of one process, which predicts what it needs itself."""
    monkeypatch.setattr(subject, "ROWS_AT_ONCE", 128)
    monkeypatch.setattr(evaluate, "ROWS_AT_ONCE", 128)
    device, request = torch.device("cpu"), class_request if kind == "class" else sample_request
    quick = {"oracles": 0, "rebound_steps": 1, "relearn_steps": 1}
    config = small(digits, tmp_path / "models", train={"epochs": 0.2, "batch": 64}, audit=quick)
    folder = tmp_path / "original"
    run_train(Workspace(config), folder, Hooks())

    def measured(count: int) -> Evidence:
        asked = Workspace(replace(config, storage=str(tmp_path / str(count))), request)
        parts = [measure_part(asked, folder, device, number, count) for number in range(count)]
        assert not is_measured(asked, folder)
        measure_alone(asked, folder, device, parts)
        assert is_measured(asked, folder)
        return gather(asked, {"original": folder}, device)

    want, *others = (measured(count) for count in (0, 1, 2, 4))
    for have in others:
        assert have.alone == want.alone
        for name, values in vars(want.answers["original"]).items():
            np.testing.assert_array_equal(vars(have.answers["original"])[name], values)
