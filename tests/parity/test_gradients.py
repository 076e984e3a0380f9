"""The gradient of N workers is that of one worker with the whole batch; the tempting alternatives are not."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from cu_core.dist import data_parallel, gather_rows, rank, world_size
from cu_core.losses.contrastive import Embedded, anchor_terms
from cu_core.methods.base import Method, StepContext
from cu_core.methods.contrastive import Contrastive
from cu_core.methods.finetune import FineTune
from cu_core.models.batch_norm import BatchNormMode, set_batch_norm
from cu_core.models.classifier import Classifier, JointForward
from cu_core.models.preprocess import Preprocess
from cu_core.types import Batch, RequestKind, UnlearnBatch
from tests.parity.ranks import on_ranks

CLASSES, FORGET, RETAIN = 4, 6, 12
# Rows of each rank, forget and retain: uneven, and with ranks that hold none.
SPLITS = {
    2: [((4, 2), (5, 7)), ((6, 0), (12, 0))],
    4: [((3, 0, 2, 1), (2, 5, 4, 1)), ((6, 0, 0, 0), (0, 4, 8, 0))],
}
CASES: list[tuple[Method, RequestKind, BatchNormMode]] = [
    (Contrastive(detach_retain=False), "sample", "synced"),
    (Contrastive(terms="push", detach_retain=True, lambda_ce=0.5), "sample", "synced"),
    (Contrastive(terms="pull", detach_retain=False, lambda_cosine=0.7), "class", "retain"),
    (Contrastive(pull_weights="tilted", lambda_cosine=0.3, lambda_prototype=0.7), "class", "frozen"),
    (Contrastive(detach_retain=False, feature="hidden", temperature=0.1), "sample", "frozen"),
    (FineTune(), "class", "synced"),
]


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.flat, self.embed, self.head = nn.Flatten(), nn.Linear(3 * 16, 5), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(self.flat(F.relu(self.norm(self.conv(x))))))


def make_model(mode: BatchNormMode) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(Body(), "embed", "flat", Preprocess(6, (0.5,), (0.25,))).double()
    set_batch_norm(model, mode)
    return model.train()


def batches(forget: slice, retain: slice) -> UnlearnBatch:
    g = torch.Generator().manual_seed(1)

    def part(count: int, rows: slice) -> Batch:
        images = torch.randint(256, (count, 1, 6, 6), generator=g, dtype=torch.uint8)
        labels = torch.randint(CLASSES, (count,), generator=g)
        return Batch(images[rows], labels[rows], torch.arange(count)[rows])

    return UnlearnBatch(part(FORGET, forget), part(RETAIN, retain))


def own(sizes: tuple[int, ...]) -> slice:
    start = sum(sizes[: rank()])
    return slice(start, start + sizes[rank()])


def gradients(case: int, forget: tuple[int, ...], retain: tuple[int, ...]) -> tuple[dict[str, Tensor], float]:
    """Gradients and loss after the losses of two steps without an update."""
    method, kind, mode = CASES[case]
    model = make_model(mode)
    reference = JointForward(make_model("frozen").eval())
    forward = data_parallel(JointForward(model), broadcast_buffers=False)
    state = {"cosine": torch.tensor(0.4, dtype=torch.float64)}
    for step in range(2):
        model.zero_grad()
        context = StepContext(
            forward,
            model,
            torch.no_grad()(reference),
            None,
            kind,
            (),
            CLASSES,
            0,
            step,
            max_steps=2,
            learning_rate=0.0,
            state=state,
        )
        losses = method.losses(context, batches(own(forget), own(retain)))
        (losses.total * world_size()).backward()
    total = losses.total.detach().clone()
    if world_size() > 1:
        dist.all_reduce(total)
    found = {n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in model.named_parameters()}
    buffers = {n: b.clone() for n, b in model.named_buffers() if b.is_floating_point()}
    return found | buffers, float(total)


def all_cases(forget: tuple[int, ...], retain: tuple[int, ...]) -> list[tuple[dict[str, Tensor], float]]:
    return [gradients(i, forget, retain) for i in range(len(CASES))]


@pytest.mark.parametrize("world", [2, 4])
def test_gradients_do_not_depend_on_the_number_of_ranks(world: int) -> None:
    expected = all_cases((FORGET,), (RETAIN,))
    for forget, retain in SPLITS[world]:
        got = on_ranks(world, all_cases, forget, retain)
        for (want, want_loss), (have, have_loss) in zip(expected, got, strict=True):
            assert have_loss == pytest.approx(want_loss, rel=1e-10)
            for name in want:
                torch.testing.assert_close(have[name], want[name], rtol=1e-8, atol=1e-10)


# Forms seen in public code, on a linear encoder: each gives another gradient.
def encoder_gradient(form: str, forget: tuple[int, ...], retain: tuple[int, ...]) -> Tensor:
    g = torch.Generator().manual_seed(2)
    x_forget, x_retain = (torch.randn(n, 5, dtype=torch.float64, generator=g) for n in (FORGET, RETAIN))
    labels, retain_labels = (torch.randint(3, (n,), generator=g) for n in (FORGET, RETAIN))
    weight = torch.randn(5, 4, dtype=torch.float64, generator=g).requires_grad_()
    z = F.normalize(x_forget[own(forget)] @ weight, dim=1)
    keys = F.normalize(x_retain[own(retain)] @ weight, dim=1)
    if form == "no gradient":
        everyone = gather_rows(keys.detach())
    elif form == "own slot":
        everyone = gather_rows(keys.detach()).clone()
        everyone[own(retain)] = keys
    elif form == "local":
        everyone = keys
    else:
        everyone = gather_rows(keys)
    key_labels = retain_labels[own(retain)] if form == "local" else retain_labels
    terms = anchor_terms(Embedded(z, labels[own(forget)]), Embedded(everyone, key_labels), temperature=0.5)
    per_anchor = terms.pull + terms.push
    loss = per_anchor.mean() if form in ("mean of means", "local") else world_size() * per_anchor.sum() / FORGET
    (gradient,) = torch.autograd.grad(loss, weight)
    if world_size() > 1:
        dist.all_reduce(gradient)
    return gradient / world_size()


def all_forms(forget: tuple[int, ...], retain: tuple[int, ...]) -> dict[str, Tensor]:
    return {
        f: encoder_gradient(f, forget, retain) for f in ("exact", "mean of means", "local", "no gradient", "own slot")
    }


@pytest.mark.parametrize(("world", "forget", "retain"), [(2, (4, 2), (5, 7)), (4, (3, 1, 1, 1), (2, 5, 4, 1))])
def test_only_the_exact_form_is_right(world: int, forget: tuple[int, ...], retain: tuple[int, ...]) -> None:
    want = encoder_gradient("exact", (FORGET,), (RETAIN,))
    errors = {f: float((g - want).norm() / want.norm()) for f, g in on_ranks(world, all_forms, forget, retain).items()}
    assert errors.pop("exact") < 1e-12
    assert min(errors.values()) > 0.02, errors
