from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cu_core.audit.subject import Subject
from cu_core.audit.table import audit_alone
from cu_core.checkpoint import read_meta
from cu_core.config_io import config_from
from cu_core.errors import UserError
from cu_core.models.build import build_model
from cu_core.run import Hooks, check_model, fresh_model, load_model, run_train, run_unlearn
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


@pytest.mark.parametrize("objective", ["supcon", "simclr", "moco"])
def test_an_encoder_is_a_classifier_that_is_unlearned_and_audited_as_it_is(
    objective: str, digits: Path, storage: Path, class_request: Path, tmp_path: Path
) -> None:
    config = small(
        digits,
        storage,
        model={"name": "resnet10", "width": 4},
        train={"epochs": 0.2, "batch": 64, "objective": objective, "contrast": {"projection": 8, "probe_rows": 150}},
        stop={"max_steps": 2, "rule": "none"},
        audit={"oracles": 1, "max_rows": 60, "audits": ["accuracy", "membership", "representation", "noise", "views"]},
    )
    run_train(Workspace(config, class_request), tmp_path / "oracle", Hooks(), number=1)
    result = run_train(Workspace(config), tmp_path / "original", Hooks())
    record = read_meta(tmp_path / "original")
    reader, split = Workspace(config).reader, Workspace(config, class_request).split
    assert (record["probe"]["rows"], record["probe"]["of"]) == (150, reader.num_rows("train"))
    assert result.retain_rows == result.steps * 64 * (1 if objective == "moco" else 2)
    original, oracle = (load_model(config, reader, tmp_path / name).eval() for name in ("original", "oracle"))
    found = Subject(original, split, config.audit, 0)
    assert found.retain_test.correct.mean() > 0.3  # a tenth would be chance
    kept = Subject(oracle, split, config.audit, 0)
    assert not kept.forget_test.correct.any()
    assert audit_alone(kept).metrics.keys() >= {"forget_alignment", "mia_view_auc", "probe_accuracy", "noise_pgd"}
    run_unlearn(Workspace(config, class_request), tmp_path / "original", tmp_path / "out", Hooks())
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("original", "out"))
    assert before.keys() == after.keys()
    assert not torch.equal(before["body.conv1.weight"], after["body.conv1.weight"])  # the encoder itself


def test_models_that_cannot_be_encoders_are_refused_before_training(digits: Path) -> None:
    values: dict[str, Any] = {
        "data": {"path": str(digits)},
        "model": {"name": "tests.unit.cu_core.test_run:headless", "embedding_layer": "flat"},
    }
    check_model(config_from(values), Workspace(config_from(values)).reader)
    encoder = config_from(values | {"train": {"objective": "simclr"}})
    with pytest.raises(UserError, match="one head, a linear layer with a bias; this one has Conv2d"):
        check_model(encoder, Workspace(encoder).reader)


def headless(num_classes: int) -> torch.nn.Module:
    """A classifier whose last layer is no linear one."""
    parts = {"conv": torch.nn.Conv2d(1, num_classes, 3), "pool": torch.nn.AdaptiveAvgPool2d(1)}
    return torch.nn.Sequential(OrderedDict(parts, flat=torch.nn.Flatten()))


def test_a_model_that_another_process_made_during_a_training_stays(digits: Path, storage: Path, tmp_path: Path) -> None:
    """It may be read already. One that was there before the training is replaced."""
    config, folder = small(digits, storage, train={"epochs": 0.1}), tmp_path / "original"

    def made_by_another(report: StepReport) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "theirs").touch()

    run_train(Workspace(config), folder, Hooks(on_step=made_by_another))
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    run_train(Workspace(config), folder, Hooks())
    assert sorted(path.name for path in folder.iterdir()) == ["meta.json", "model.safetensors"]
