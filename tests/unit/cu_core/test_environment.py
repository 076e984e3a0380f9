"""What another environment made is used, and said once, wherever it is read."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from cu_core.environment import differences, environment, say, tell_other
from cu_core.run import Hooks, load_model, run_train, run_unlearn
from cu_core.run_audit import ELSEWHERE, run_audit
from cu_core.workspace import Workspace
from tests.conftest import small


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    say.cache_clear()


def test_what_counts_as_another_environment() -> None:
    here = {"torch": "2.8.1+cpu", "device": "cpu", "matmul": "highest"}
    assert not differences({**here, "torch": "2.8.0"}, here)
    assert not differences({**here, "gpu": "H100"}, here)
    assert differences({**here, "torch": "2.7.1"}, here) == "torch 2.7 (here 2.8)"
    assert differences({**here, "device": "cuda"}, here) == "device cuda (here cpu)"
    assert differences({**here, "matmul": "high"}, here) == "float32 products high (here highest)"
    assert differences(None, here) == "an environment that is not recorded"
    assert environment("cpu") == {"torch": torch.__version__, "device": "cpu", "matmul": "highest"}


def test_it_is_said_once_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    here = environment("cpu")
    for _ in range(2):
        assert tell_other("models/a", {**here, "device": "cuda"}, here)
    assert not tell_other("models/b", here, here)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "models/a was made with device cuda (here cpu); figures may differ from those made here."
    ]


def test_models_and_audits_of_another_environment_are_told(
    digits: Path, class_request: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick = {"oracles": 0, "audits": ["accuracy", "membership"]}
    config = small(digits, tmp_path, train={"epochs": 0.1}, stop={"max_steps": 1, "rule": "none"}, audit=quick)
    original, unlearned = tmp_path / "original", tmp_path / "unlearned"
    run_train(Workspace(config), original, Hooks())
    run_unlearn(Workspace(config, class_request), original, unlearned, Hooks())
    for folder in (original, unlearned):
        assert json.loads((folder / "meta.json").read_text())["environment"] == environment("cpu")

    def audited() -> dict[str, str]:
        folders = {"original": original, "unlearned": unlearned}
        report = run_audit(Workspace(config, class_request), folders, [], torch.device("cpu"))
        return dict(report.versions)

    versions = audited()
    assert ELSEWHERE not in versions
    assert versions.items() >= environment("cpu").items()
    assert not caplog.records

    for file in (original / "meta.json", *(tmp_path / "audits").glob("*.json")):
        record = json.loads(file.read_text())
        file.write_text(json.dumps(record | {"environment": environment("cpu") | {"torch": "1.13.1"}}))
    lines = audited()[ELSEWHERE].splitlines()
    assert len(lines) == 3, "the original, and the figures of both"
    assert f"{original} was made with torch 1.13 (here " in lines[0]
    load_model(config, Workspace(config).reader, original)
    assert sorted(record.getMessage() for record in caplog.records) == sorted(lines)
