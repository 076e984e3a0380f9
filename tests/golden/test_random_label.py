from __future__ import annotations

import pytest
import torch

from cu_core.methods.random_label import RandomLabel, wrong_labels
from cu_core.types import Batch
from tests.golden.plain_losses import cross_entropy, hash_of
from tests.golden.tiny_model import CLASSES, SEEDS, Case, check


def drawn(label: int, sample: int, seed: int, gone: tuple[int, ...]) -> int:
    """The classes after the row's own, cyclically, without the forgotten ones; a hash picks one."""
    left = [(label + k) % CLASSES for k in range(1, CLASSES) if (label + k) % CLASSES not in gone]
    return left[hash_of(sample, seed, 31) % len(left)]


def targets(case: Case) -> list[int]:
    ids, gone = case.batch.forget.sample_ids.tolist(), case.forget_classes
    return [drawn(y, i, 17, gone) for y, i in zip(case.labels("forget"), ids, strict=True)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["class", "sample"])
@pytest.mark.parametrize("weight", [None, 0.4])
def test_a_wrong_label_for_each_forget_row_beside_retain_rows(seed: int, kind: str, weight: float | None) -> None:
    case = Case(seed, kind)  # type: ignore[arg-type]
    method = RandomLabel() if weight is None else RandomLabel(lambda_retain=weight)
    forget, d_forget = cross_entropy(case.seen("forget").logits, targets(case))
    retain, d_retain = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    w = 1.0 if weight is None else weight
    losses = check(
        method, case, forget + w * retain, {"forget": {"logits": d_forget}, "retain": {"logits": w * d_retain}}
    )
    assert losses.terms["relabel_loss"].item() == pytest.approx(forget, rel=1e-10)
    assert losses.terms["retain_loss"].item() == pytest.approx(retain, rel=1e-10)


@pytest.mark.parametrize("gone", [(), (1,), (0, 3)])
def test_every_class_but_the_own_and_the_forgotten_ones_is_drawn_about_equally(gone: tuple[int, ...]) -> None:
    count = 3000
    labels = [n % CLASSES for n in range(count)]
    batch = Batch(torch.zeros(count, 1, 1, 1), torch.tensor(labels), torch.arange(count) * 7)
    found = wrong_labels(batch, CLASSES, 5, gone).tolist()
    assert found == [drawn(y, 7 * n, 5, gone) for n, y in enumerate(labels)]
    for own in range(CLASSES):
        got = [f for f, y in zip(found, labels, strict=True) if y == own]
        allowed = set(range(CLASSES)) - {own, *gone}
        assert set(got) == allowed
        for c in allowed:
            assert got.count(c) == pytest.approx(len(got) / len(allowed), rel=0.25)
