"""Classifiers and both towers spread over 2 and 4 workers: trained and unlearned as on one process, to 1e-8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from cu_core.config import RunConfig
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.dist import world_size
from cu_core.methods.table import METHODS
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.types import StepReport
from cu_core.unlearn.loop import Loop
from cu_core.workspace import Workspace
from tests.conftest import small, small_clip
from tests.parity.ranks import on_ranks

VIT = {"name": "vit_mini", "width": 32, "depth": 2, "patch_size": 2}
SPREAD = {"precision": "float64", "count": 2, "shard": True}
STEPS: dict[str, Any] = {
    "batches": {"forget_batch": 5, "retain_batch": 7, "omega": 1},
    "stop": {"rule": "paper", "max_steps": 4, "check_every": 2, "further_steps": 100},
    "workers": SPREAD,
}
CLASSIFIERS = [n for n, m in METHODS.items() if "classifier" in m.models and not m.whole_weights]


def vit(digits: Path, storage: Path, **parts: Any) -> RunConfig:
    train = {"epochs": 0.2, "batch": 64, "workers": {"count": 2, "shard": True}}
    return small(digits, storage, **{"model": VIT, "train": train, **STEPS, **parts})


def clip(captions: Path, storage: Path, clip_file: Path) -> RunConfig:
    adamw = {"name": "adamw", "lr": 1e-3, "clip_norm": 0.5}
    train = {"epochs": 0.2, "batch": 64, "optimizer": adamw, "workers": {"count": 2, "shard": True}}
    request = {"kind": "by_random", "count": 61, "seed": 3}
    both = {"towers": "both", "scale": True}
    more = {"train": train, "request": request, "optimizer": adamw, "trainable": both, **STEPS}
    return small_clip(captions, storage, clip_file, **{**more, "method": {"name": "neggrad_plus"}})


def held(loop: Loop) -> float:
    """The share of the model's weights that this worker holds."""
    weights = list(loop.model.parameters())
    return sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in weights) / sum(
        p.numel() for p in weights
    )


def steps_of(run: Any, out: Path) -> list[dict[str, float]]:
    steps: list[dict[str, float]] = []

    def on_step(report: StepReport) -> None:
        steps.append(dict(report.values))

    run(Hooks(on_step=on_step))
    return steps


def trained(config: RunConfig, out: Path) -> list[dict[str, float]]:
    return steps_of(lambda hooks: run_train(Workspace(config), out, hooks), out)


def unlearned(configs: list[RunConfig], original: Path, request: Path, out: Path) -> list[list[dict[str, float]]]:
    shares: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        begin = Loop.__init__

        def build(loop: Loop, **parts: Any) -> None:
            begin(loop, **parts)
            shares.append(held(loop))

        patch.setattr(Loop, "__init__", build)
        found = [
            steps_of(lambda h, c=c: run_unlearn(Workspace(c, request), original, out / c.method.name, h), out)
            for c in configs
        ]
    assert max(shares) < 1 / world_size() + 0.1, shares
    return found


def same_steps(have: list[dict[str, float]], want: list[dict[str, float]]) -> None:
    for expected, got in zip(want, have, strict=True):
        assert got == pytest.approx(expected, rel=1e-8, abs=1e-8)


def same(have: Path, want: Path) -> None:
    one, other = (load_file(folder / "model.safetensors") for folder in (have, want))
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-8, atol=1e-8, msg=name)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sharded")


@pytest.fixture(scope="module", params=["vit", "clip"])
def original(
    request: pytest.FixtureRequest, digits: Path, captions: Path, clip_file: Path, place: Path
) -> tuple[str, RunConfig, Path]:
    kind = str(request.param)
    config = vit(digits, place) if kind == "vit" else clip(captions, place, clip_file)
    want = trained(config, place / f"{kind}-1")
    assert len(want) > 2
    for world in (2, 4):
        have = on_ranks(world, trained, config, place / f"{kind}-{world}")
        same_steps(have, want)
        same(place / f"{kind}-{world}", place / f"{kind}-1")
    return kind, config, place / f"{kind}-1"


def test_spread_models_are_trained_and_unlearned_as_whole_ones(
    original: tuple[str, RunConfig, Path], digits: Path, place: Path
) -> None:
    kind, config, folder = original
    configs = [config]
    if kind == "vit":
        # AdamW divides a gradient by its own size, and so makes the rounding of one that is zero as large as any other.
        sgd = {"name": "sgd", "lr": 0.01, "momentum": 0.9}
        configs = [vit(digits, place, method={"name": name}, optimizer=sgd) for name in CLASSIFIERS]
    forget = resolve_request(config.request, Workspace(config).reader, pairs=kind == "clip")
    request = save_forget_set(place / "requests", forget)
    want = unlearned(configs, folder, request, place / f"{kind}-unlearned-1")
    for world in (2, 4):
        some = configs if world == 2 else [c for c in configs if c.method.name in ("contrastive", "neggrad_plus")]
        have = on_ranks(world, unlearned, some, folder, request, place / f"{kind}-unlearned-{world}")
        for one, got in zip(some, have, strict=True):
            expected = want[configs.index(one)]
            same_steps(got, expected)
            names = (place / f"{kind}-unlearned-{n}" / one.method.name for n in (world, 1))
            same(*names)
            before = load_file(folder / "model.safetensors")
            after = load_file(place / f"{kind}-unlearned-1" / one.method.name / "model.safetensors")
            assert any(not torch.equal(before[n], after[n]) for n in before), one.method.name
