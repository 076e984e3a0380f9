"""Losses and gradients of image-text methods: 1, 2 and 4 ranks, in one chunk and in several, whole and in blocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from cu_core.dist import data_parallel, rank, world_size
from cu_core.losses import blocks
from cu_core.losses.image_text import same_text
from cu_core.methods.base import Method, StepContext
from cu_core.methods.contrastive_clip import ContrastiveClip
from cu_core.methods.finetune import FineTune
from cu_core.methods.neggrad_plus import NegGradPlus
from cu_core.methods.random_label import RandomLabel
from cu_core.models.classifier import JointForward
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.towers import open_clip_towers
from cu_core.models.trainable import Trainable, choose_trainable, recompute_blocks
from cu_core.types import Batch, RequestKind, UnlearnBatch
from tests.parity.ranks import on_ranks

FORGET, RETAIN, CLASSES = 6, 10, 4
SPLITS = {2: [((4, 2), (5, 5)), ((6, 0), (10, 0))], 4: [((3, 0, 2, 1), (2, 4, 3, 1))]}
CASES: list[tuple[Method, RequestKind, Trainable]] = [
    (ContrastiveClip(lambda_dispersion=0.3), "class", Trainable()),
    (ContrastiveClip(uniform_pull=0.2), "sample", Trainable(towers="both")),
    (FineTune(), "class", Trainable(towers="both", scale=True)),
    (NegGradPlus(), "class", Trainable(tune="last_blocks", blocks=1)),
    (RandomLabel(), "sample", Trainable(tune="lora", blocks=1)),
]


def make_model(config: Path, trainable: Trainable | None, sigmoid: bool = False) -> ImageTextClassifier:
    torch.manual_seed(0)
    model = ImageTextClassifier(open_clip_towers(str(config)), list("abcd"), ["a {class}", "the {class}"]).double()
    if trainable:
        torch.manual_seed(1)
        choose_trainable(model, trainable)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # adapters begin at zero, where half of their gradients are zero too
                torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def batches(model: ImageTextClassifier, forget: slice, retain: slice) -> UnlearnBatch:
    g = torch.Generator().manual_seed(1)
    words = ["a dog", "the dog", "a red car", "a car", "sky"]

    def part(count: int, rows: slice, first: int) -> Batch:
        images = torch.randint(256, (count, 1, 16, 16), generator=g, dtype=torch.uint8)
        tokens = model.tokenize([words[(i + first) % (2 if first == 0 else 5)] for i in range(count)])
        labels = torch.arange(count) % CLASSES
        return Batch(images[rows], labels[rows], torch.arange(count)[rows], tokens[rows])

    return UnlearnBatch(part(FORGET, forget, 0), part(RETAIN, retain, 2))


def own(sizes: tuple[int, ...]) -> slice:
    start = sum(sizes[: rank()])
    return slice(start, start + sizes[rank()])


def gradients(
    config: Path, case: int, rows_at_once: int | None, recompute: bool, forget: tuple[int, ...], retain: tuple[int, ...]
) -> tuple[dict[str, Tensor], float]:
    blocks.AT_ONCE = 20 if recompute else 2**24  # 20: one or two rows against all keys
    method, kind, trainable = CASES[case]
    model, frozen = make_model(config, trainable), make_model(config, None).eval()
    model.rows_at_once = rows_at_once
    if recompute:
        recompute_blocks(model)
    forward = data_parallel(JointForward(model), broadcast_buffers=False)
    state = {"floor": torch.tensor(0.05), "ceiling": torch.tensor(0.9)}
    reference = torch.no_grad()(JointForward(frozen))
    classes = (1,) if kind == "class" else ()
    context = StepContext(forward, model, reference, None, kind, classes, CLASSES, 0, 0, 1, 0.0, state)
    losses = method.losses(context, batches(model, own(forget), own(retain)))
    (losses.total * world_size()).backward()
    total = losses.total.detach().clone()
    if world_size() > 1:
        dist.all_reduce(total)
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, float(total)


def all_cases(
    config: Path, rows_at_once: int | None, recompute: bool, forget: tuple[int, ...], retain: tuple[int, ...]
) -> list[tuple[dict[str, Tensor], float]]:
    return [gradients(config, i, rows_at_once, recompute, forget, retain) for i in range(len(CASES))]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_gradients_depend_neither_on_ranks_nor_on_chunks_nor_on_recomputing(world: int, clip_file: Path) -> None:
    expected = all_cases(clip_file, None, False, (FORGET,), (RETAIN,))
    assert all(any(g.abs().sum() > 0 for g in found.values()) for found, _ in expected)
    for rows_at_once, recompute in ((None, False), (3, False), (3, True)):
        for forget, retain in SPLITS.get(world, [((FORGET,), (RETAIN,))]):
            got = on_ranks(world, all_cases, clip_file, rows_at_once, recompute, forget, retain)
            for (want, want_loss), (have, have_loss) in zip(expected, got, strict=True):
                assert have_loss == pytest.approx(want_loss, rel=1e-10)
                assert have.keys() == want.keys()
                for name in want:
                    torch.testing.assert_close(have[name], want[name], rtol=1e-8, atol=1e-10)


def test_a_siglip_model_is_trained_by_the_sigmoid_loss(clip_file: Path, tmp_path: Path) -> None:
    config = json.loads(clip_file.read_text()) | {"init_logit_bias": -3.0}
    (tmp_path / "siglip.json").write_text(json.dumps(config))
    model = make_model(tmp_path / "siglip.json", Trainable(towers="both", scale=True))
    rows = batches(model, slice(None), slice(None)).retain
    out = JointForward(model)(rows.inputs("retain"))
    context = StepContext(JointForward(model), model, None, None, "class", (), CLASSES, 0, 0, 1, 0.0, {})
    loss = FineTune().losses(context, UnlearnBatch(rows, rows)).total
    logits = out["retain"].scale * out["retain"].embedding @ out["retain texts"].embedding.T + out["retain"].bias
    numbers = torch.unique(rows.tokens, dim=0, return_inverse=True)[1]
    sign = torch.where(same_text(numbers, numbers), 1.0, -1.0)
    torch.testing.assert_close(loss, -torch.nn.functional.logsigmoid(sign * logits).sum() / len(rows))
