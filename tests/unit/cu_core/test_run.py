from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.types import StepReport
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
            run_train(config, original, Hooks())
        run_unlearn(config, original, class_request, tmp_path / precision, Hooks(on_step=on_step))
        weights = load_file(tmp_path / precision / "model.safetensors")
        assert {w.dtype for n, w in weights.items() if not n.endswith("num_batches_tracked")} == {torch.float32}
    assert len(steps["bfloat16"]) == 4
    assert steps["bfloat16"] != steps["float32"]
    torch.testing.assert_close(torch.tensor(steps["bfloat16"]), torch.tensor(steps["float32"]), rtol=0.05, atol=0.05)
