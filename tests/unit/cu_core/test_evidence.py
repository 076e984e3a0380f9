from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cu_core import evidence
from cu_core.evidence import gather, measure_alone
from cu_core.run import Hooks, run_train
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
    have = gather(asked, folders, device)
    assert have.alone == want.alone
    assert have.figures("original", ["oracle_0"]) == want.figures("original", ["oracle_0"])
