"""An image tower spread over workers ends as on one process, from any checkpoint and on any number of ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from cu_core.checkpoint import TrainState, Weights, load_state
from cu_core.config import RunConfig
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.dist import rank, world_size
from cu_core.models.classifier import Classifier
from cu_core.models.towers import open_clip_towers
from cu_core.models.transformers_towers import hugging_face_towers
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.sharded_state import StateSaver
from cu_core.sharding import gathered, shard, whole
from cu_core.traffic import TRAFFIC
from cu_core.types import StepReport
from cu_core.unlearn.stopping import Stopper
from cu_core.workspace import Workspace
from tests.conftest import small_clip
from tests.parity.ranks import on_ranks
from tests.unit.cu_core.models.test_towers import make

STEPS = 6
METHODS: dict[str, dict[str, Any]] = {
    "contrastive_clip": {"method": {"name": "contrastive_clip", "lambda_dispersion": 0.3}},
    "recompute": {"workers": {"recompute": True}, "trainable": {"tune": "last_blocks", "blocks": 1}},
    "neggrad_plus": {"method": {"name": "neggrad_plus"}, "optimizer": {"name": "sgd", "lr": 0.01, "clip_norm": 0.1}},
}


def config_of(captions: Path, storage: Path, clip_file: Path, name: str) -> RunConfig:
    parts = METHODS[name]
    workers = {"precision": "float64", "count": 2, "shard": True, "checkpoint_every": 2} | parts.get("workers", {})
    return small_clip(
        captions,
        storage,
        clip_file,
        **{
            "request": {"kind": "by_random", "count": 61, "seed": 3},
            "batches": {"forget_batch": 7, "retain_batch": 9, "omega": 1},
            "optimizer": {"name": "adamw", "lr": 1e-3, "clip_norm": 1.0},
            "stop": {"rule": "paper", "max_steps": STEPS, "check_every": 3, "further_steps": 100},
            **parts,
            "workers": workers,
        },
    )


@pytest.fixture(scope="module", params=METHODS)
def job(
    request: pytest.FixtureRequest, captions: Path, clip_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunConfig, Path, Path, Path]:
    place = tmp_path_factory.mktemp("sharding")
    config = config_of(captions, place, clip_file, str(request.param))
    run_train(Workspace(config), place / "original", Hooks())
    forget = save_forget_set(place / "requests", resolve_request(config.request, Workspace(config).reader, pairs=True))
    return config, place / "original", forget, place


def unlearn(config: RunConfig, original: Path, request: Path, out: Path, resume: Path | None = None) -> Any:
    """Values of all steps, and how much of the image tower rank 0 held while the stop rule looked at it, and handed to
    collectives in a step."""
    steps: list[dict[str, float]] = []
    held: list[float] = []
    look = Stopper.judge

    def judge(stopper: Stopper, model: Classifier, step: int) -> Any:
        local = [p.to_local() if isinstance(p, DTensor) else p for p in model.body.parameters_of("image")]
        held.append(sum(p.numel() for p in local) / sum(p.numel() for p in model.body.parameters_of("image")))
        return look(stopper, model, step)

    def on_step(report: StepReport) -> None:
        assert world_size() == 1 or TRAFFIC.bytes > 0
        steps.append(dict(report.values))

    saver = StateSaver()

    def save(state: TrainState) -> None:
        assert state.sharded == (world_size() > 1)
        saver.save(out / f"step-{state.step}", state, "digest")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stopper, "judge", judge)
        run_unlearn(
            Workspace(config, request),
            original,
            out / "unlearned",
            Hooks(
                on_step=on_step,
                save=save,
                latest=lambda: load_state(resume, "digest") if resume else None,
            ),
        )
    if world_size() > 1:
        dist.barrier()
    return steps, held


def same(have: Weights, want: Weights) -> None:
    assert have.keys() == want.keys()
    for name in want:
        torch.testing.assert_close(have[name], want[name], rtol=1e-8, atol=1e-8)


def test_spread_weights_end_as_those_of_one_process(job: tuple[RunConfig, Path, Path, Path]) -> None:
    config, original, request, place = job
    want_steps, _ = unlearn(config, original, request, place / "one")
    want = load_file(place / "one" / "unlearned" / "model.safetensors")
    before = load_file(original / "model.safetensors")
    assert any(not torch.allclose(want[name], before[name]) for name in want)
    for world in (2, 3):
        steps, held = on_ranks(world, unlearn, config, original, request, place / str(world))
        assert max(held) < 1 / world + 0.1
        for expected, got in zip(want_steps, steps, strict=True):
            assert got == pytest.approx(expected, rel=1e-8, abs=1e-8)
        same(load_file(place / str(world) / "unlearned" / "model.safetensors"), want)
    checkpoint = place / "2" / "step-4"
    assert len([*checkpoint.glob("__*.distcp")]) == 2
    on_ranks(3, unlearn, config, original, request, place / "resumed", checkpoint)
    same(load_file(place / "resumed" / "unlearned" / "model.safetensors"), want)
    on_ranks(2, unlearn, config, original, request, place / "back", place / "one" / "step-4")
    same(load_file(place / "back" / "unlearned" / "model.safetensors"), want)
    alone = replace(config, workers=replace(config.workers, shard=False))
    unlearn(alone, original, request, place / "alone", checkpoint)
    same(load_file(place / "alone" / "unlearned" / "model.safetensors"), want)


def tower_gradients(kind: str, folder: Path) -> Weights:
    """Of the same images on every rank, after one rank alone has looked at another while weights were gathered."""
    torch.manual_seed(0)
    made = open_clip_towers(f"{folder}/model.json") if kind == "open_clip" else hugging_face_towers(str(folder))
    towers = made.double()
    images = torch.arange(3 * 32 * 32, dtype=torch.uint8).view(3, 1, 32, 32)
    if world_size() > 1:
        shard(towers.units())
    with gathered(towers), torch.inference_mode():
        if rank() == 0:
            towers.images(images[:1])
    towers.images(images).embedding[:, 0].sum().backward()
    return {n: whole(p.grad) for n, p in towers.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["open_clip", "clip", "siglip"])
def test_the_whole_image_tower_is_spread_whatever_library_it_is_of(kind: str, tmp_path: Path) -> None:
    trained = make(kind, tmp_path / "model").parameters_of("image")
    want = tower_gradients(kind, tmp_path / "model")
    assert len(want) == len(trained)  # the text tower is spread too, and gets no gradient from images
    same(on_ranks(2, tower_gradients, kind, tmp_path / "model"), want)
