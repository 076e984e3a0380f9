"""A run with ``workers.profile`` leaves a trace that a viewer can read, and the same weights as one without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.workspace import Workspace
from tests.conftest import small


def test_trace(digits: Path, tmp_path: Path) -> None:
    config = small(digits, tmp_path, train={"epochs": 0.1, "batch": 64}, stop={"max_steps": 6, "rule": "none"})
    original = tmp_path / "original"
    run_train(Workspace(config), original, Hooks())
    request = save_forget_set(tmp_path, resolve_request(config.request, Workspace(config).reader))
    run_unlearn(Workspace(config, request), original, tmp_path / "plain" / "unlearned", Hooks())
    seen: list[int] = []
    profiled = replace(config, workers=replace(config.workers, profile=True))
    hooks = Hooks(on_step=lambda report: seen.append(report.step))
    run_unlearn(Workspace(profiled, request), original, tmp_path / "traced" / "unlearned", hooks)
    assert seen == [1, 2, 3, 4, 5, 6]
    events = json.loads((tmp_path / "traced" / "trace-rank-0.json").read_text())["traceEvents"]
    assert sum(e.get("name", "").startswith("ProfilerStep") for e in events) == 3
    assert any("convolution" in e.get("name", "") for e in events)
    assert not list((tmp_path / "plain").glob("trace*"))
    plain, traced = (load_file(tmp_path / n / "unlearned" / "model.safetensors") for n in ("plain", "traced"))
    assert all(torch.equal(plain[name], traced[name]) for name in plain)
