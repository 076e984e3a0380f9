from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cu_core.config_io import config_from
from cu_core.errors import UserError
from cu_core.models.build import build_model
from cu_core.run import Hooks, check_model, fresh_model, run_train, run_unlearn
from cu_core.types import StepReport
from cu_core.workspace import Workspace
from tests.conftest import small


def test_mixed_precision_stays_near_float32_and_keeps_float32_weights(
    digits: Path, storage: Path, class_request: Path, tmp_path: Path
) -> None:
    steps: dict[str, list[float]] = {}
    for precision in ("float32", "bfloat16"):
        losses = steps.setdefault(precision, [])

        def on_step(report: StepReport, losses: list[float] = losses) -> None:
            losses.append(report.values["loss"])

        config = small(digits, storage, workers={"precision": precision}, stop={"max_steps": 4, "rule": "none"})
        original = tmp_path / "original"
        if not original.exists():
            run_train(Workspace(config), original, Hooks())
        run_unlearn(Workspace(config, class_request), original, tmp_path / precision, Hooks(on_step=on_step))
        weights = load_file(tmp_path / precision / "model.safetensors")
        assert {w.dtype for n, w in weights.items() if not n.endswith("num_batches_tracked")} == {torch.float32}
    assert len(steps["bfloat16"]) == 4
    assert steps["bfloat16"] != steps["float32"]
    torch.testing.assert_close(torch.tensor(steps["bfloat16"]), torch.tensor(steps["float32"]), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_mini", "open_clip:ViT-B-32", "open_clip:tune_configs/models/clip_mini.json"]
)
def test_a_model_is_checked_without_memory_for_its_weights(
    name: str, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_from({"data": {"path": str(digits)}, "model": {"name": name, "patch_size": 2}})
    built: list[torch.nn.Module] = []
    real = build_model

    def kept(*args: Any) -> Any:
        built.append(real(*args))
        return built[-1]

    monkeypatch.setattr("cu_core.run.build_model", kept)
    check_model(config, Workspace(config).reader)
    assert {p.device.type for p in built[0].parameters()} == {"meta"}


def test_weights_of_another_model_are_found_by_the_check(digits: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"data": {"path": str(digits)}, "model": {"name": "resnet10", "width": 8}}
    config = config_from(values)
    state = fresh_model(config, Workspace(config).reader, 0).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    held = {"weights": str(tmp_path / "weights.safetensors")}
    check_model(config_from(values | {"model": {**values["model"], **held}}), Workspace(config).reader)
    other = config_from(values | {"model": {**values["model"], **held, "width": 16}})
    with pytest.raises(UserError, match="holds another model: .* must be"):
        check_model(other, Workspace(other).reader)
