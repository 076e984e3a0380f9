"""The paper's settings, as its authors' code has them (Lee et al. 2025, section 5.1)."""

from __future__ import annotations

import pytest

from cu_core.presets import PRESETS, preset_for
from cu_core.types import RequestKind


@pytest.mark.parametrize(("kind", "batch"), [("class", 64), ("sample", 128)])
def test_the_papers_settings(kind: RequestKind, batch: int) -> None:
    found = preset_for("paper", kind, "contrastive")
    assert found["method"] == {
        "name": "contrastive", "terms": "both", "temperature": 0.7, "lambda_ul": 3.0, "lambda_ce": 1.0,
        "detach_retain": False,
    }  # fmt: skip
    assert found["optimizer"] == {"name": "sgd", "lr": 0.001, "momentum": 0.9}
    assert found["batches"] == {"forget_batch": batch, "retain_batch": batch, "omega": 4}


@pytest.mark.parametrize("kind", ["class", "sample"])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_omega_is_four_for_contrastive_unlearning_and_one_for_other_methods(kind: RequestKind, preset: str) -> None:
    """The paper repeats a forget batch over omega retain batches; no other method does."""
    assert PRESETS[preset, kind]["batches"]["omega"] == 4
    assert preset_for(preset, kind, "contrastive")["batches"]["omega"] == 4
    other = preset_for(preset, kind, "finetune")
    own = PRESETS[preset, kind]["batches"] if preset == "paper" else {"forget_batch": 64, "retain_batch": 64}
    assert other["batches"] == own | {"omega": 1}
    assert other["optimizer"] == PRESETS[preset, kind]["optimizer"] | {"lr": 0.1}
    assert other["stop"]["rule"] == "paper"
    assert "method" not in other
