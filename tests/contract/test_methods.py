"""Every row of the METHODS table passes the same tests; a new method is covered by being listed."""

from __future__ import annotations

import copy
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cu_core.config import RunConfig
from cu_core.data.loader import Batches, UnlearnStream
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from cu_core.methods.base import Method, MethodState, Preparation, StepContext
from cu_core.methods.table import METHODS
from cu_core.models.batch_norm import set_batch_norm
from cu_core.models.classifier import Classifier, JointForward
from cu_core.run import Hooks, fresh_model, run_train, run_unlearn
from cu_core.types import Batch, RequestKind, UnlearnBatch
from cu_core.unlearn.loop import frozen
from cu_core.workspace import Workspace
from tests.conftest import small

CLASSIFIERS = {name: method for name, method in METHODS.items() if "classifier" in method.models}
CASES = [(name, kind) for name, method in CLASSIFIERS.items() for kind in method.kinds]
TRAINED = [(name, kind) for name, kind in CASES if not METHODS[name].closed_form]
STEPS = 20


def config_of(digits: Path, storage: Path, kind: RequestKind, **parts: object) -> RunConfig:
    request = {"kind": "by_class", "classes": [5]} if kind == "class" else {"kind": "by_random", "count": 40, "seed": 3}
    return small(digits, storage, request=request, **parts)


def first(batch: Batch, count: int) -> Batch:
    return Batch(batch.images[:count], batch.labels[:count], batch.sample_ids[:count])


def context_of(method: Method, model: Classifier, kind: RequestKind, step: int, state: MethodState) -> StepContext:
    untrained = copy.deepcopy(model)
    with torch.no_grad():
        next(untrained.parameters()).mul_(0.5)
    return StepContext(
        forward=JointForward(model),
        model=model,
        reference=frozen(copy.deepcopy(model)) if "frozen original" in method.needs() else None,
        untrained=frozen(untrained) if "untrained model" in method.needs() else None,
        request_kind=kind,
        forget_classes=(5,) if kind == "class" else (),
        num_classes=10,
        seed=0,
        step=step,
        max_steps=STEPS,
        learning_rate=0.1,
        state=state,
    )


@pytest.mark.parametrize(("name", "kind"), TRAINED)
def test_losses_are_finite_with_gradient_also_without_rows(
    name: str, kind: RequestKind, digits: Path, storage: Path, class_request: Path, sample_request: Path
) -> None:
    config = config_of(digits, storage, kind)
    reader = Workspace(config).reader
    split = Workspace(config, class_request if kind == "class" else sample_request).split
    model, method = fresh_model(config, reader, 0), METHODS[name]()
    method.check(kind)
    state: MethodState = {}
    method.prepare(Preparation(model.eval(), fresh_model(config, reader, 1), split, 0, state))
    set_batch_norm(model.train(), "synced")
    batch = UnlearnStream(split, Batches(forget_batch=6, retain_batch=8), 0)(0)
    moved = False
    for step in (0, 1, STEPS // 2, STEPS - 1):
        for forget, retain in ((6, 8), (0, 8), (6, 0)):
            context = context_of(method, model, kind, step, state)
            losses = method.losses(context, UnlearnBatch(first(batch.forget, forget), first(batch.retain, retain)))
            model.zero_grad()
            losses.total.backward()
            method.edit_gradients(context)
            assert torch.isfinite(losses.total)
            assert "loss" in losses.terms
            assert all(torch.isfinite(v) and not v.requires_grad for v in losses.terms.values())
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            assert all(torch.isfinite(g).all() for g in gradients)
            moved = moved or any(bool(g.abs().sum() > 0) for g in gradients)
    assert moved
    assert all(torch.isfinite(b).all() for b in model.buffers())


@pytest.mark.parametrize("name", METHODS)
def test_settings_and_sources_are_stated_and_checked(name: str) -> None:
    method = METHODS[name]
    assert method.__doc__
    assert method.source
    assert method().name == name
    for field in fields(method):  # type: ignore[arg-type]
        assert field.type not in ("float", "int"), f"{field.name}: its type must name its range; see cu_core/bounds.py"


@pytest.mark.parametrize("name", [n for n, m in CLASSIFIERS.items() if "sample" not in m.kinds])
def test_a_request_that_a_method_cannot_answer_is_refused(name: str, digits: Path, storage: Path) -> None:
    with pytest.raises(ConfigError, match="cannot forget samples"):
        config_of(digits, storage, "sample", method={"name": name})


@pytest.fixture(scope="module")
def original(digits: Path, storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("methods") / "original"
    run_train(Workspace(config_of(digits, storage, "class", train={"epochs": 1})), folder, Hooks())
    return folder


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_rows_forwarded_are_the_rows_declared(
    name: str,
    kind: RequestKind,
    digits: Path,
    storage: Path,
    original: Path,
    class_request: Path,
    sample_request: Path,
    tmp_path: Path,
) -> None:
    batches = {"forget_batch": 10, "retain_batch": 14}
    stop = {"max_steps": STEPS, "rule": "none"}
    config = config_of(digits, storage, kind, method={"name": name}, batches=batches, stop=stop)
    request = class_request if kind == "class" else sample_request
    result = run_unlearn(Workspace(config, request), original, tmp_path / "out", Hooks())
    split = Workspace(config, request).split
    classes = len(split.forget.classes)
    forwarded = result.forget_rows + result.retain_rows + result.frozen_rows
    assert forwarded == pytest.approx(config.method.rows_per_step(10, 14) * STEPS)
    ready = config.method.rows_to_prepare(len(split.forget.rows), split.num_retain, classes)
    assert result.prepare_rows == ready
    assert result.steps == (1 if config.method.closed_form else STEPS)
    assert result.leaks == 0


@pytest.mark.parametrize("classes", [(5, 3), (5, 3, 8)])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_several_classes_are_forgotten_in_mixed_precision_with_a_transformer(
    name: str, classes: tuple[int, ...], digits: Path, storage: Path, tmp_path: Path, reader: ShardReader
) -> None:
    config = small(
        digits,
        storage,
        model={"name": "vit_mini", "width": 32, "depth": 2, "patch_size": 4},
        request={"kind": "by_class", "classes": list(classes)},
        method={"name": name},
        optimizer={"lr": 1e-3},
        workers={"precision": "bfloat16"},
        train={"epochs": 0.2},
        stop={"max_steps": 4, "rule": "none"},
    )
    request = save_forget_set(tmp_path / "requests", resolve_request(config.request, reader))
    run_train(Workspace(config), tmp_path / "original", Hooks())
    result = run_unlearn(Workspace(config, request), tmp_path / "original", tmp_path / "out", Hooks())
    split = Workspace(config, request).split
    ready = config.method.rows_to_prepare(len(split.forget.rows), split.num_retain, len(classes))
    assert result.prepare_rows == ready
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert all(value.dtype == torch.float32 and torch.isfinite(value).all() for value in weights.values())
