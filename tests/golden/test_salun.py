from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.salun import SalUn
from tests.golden.plain_losses import cross_entropy, hash_of
from tests.golden.tiny_model import CLASSES, SEEDS, Case, Gradients, backward, check, expected, run, same, weights_of
from tests.golden.tiny_split import preparation


def salient(case: Case, share: float) -> Gradients:
    """1 where |sum over forget rows of the gradient of -log p(label)| is among the largest of all weights."""
    logits = case.seen("forget").logits
    _, gradient = cross_entropy(logits, case.labels("forget"))
    sums, _ = backward(weights_of(case.models[0]), case.seen("forget"), {"logits": gradient * len(logits)})
    sizes = sorted((abs(x) for g in sums.values() for x in g.flat), reverse=True)
    smallest = sizes[round(share * len(sizes)) - 1]
    return {n: (np.abs(g) >= smallest * (1 - 1e-12)).astype(float) for n, g in sums.items()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [None, 0.2])
def test_the_mask_holds_the_weights_of_largest_gradient(seed: int, share: float | None) -> None:
    case = Case(seed, "class")
    method = SalUn() if share is None else SalUn(mask_frac=share)
    assert method.prepare(preparation(case)) == len(case.batch.forget)
    wanted = salient(case, share or 0.5)
    assert set(case.state) == {f"mask.{n}" for n in wanted}
    for name, mask in wanted.items():
        np.testing.assert_array_equal(case.state[f"mask.{name}"].numpy(), mask.astype(bool), err_msg=name)
    kept = sum(m.sum() for m in wanted.values())
    assert kept == round((share or 0.5) * sum(m.size for m in wanted.values()))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["class", "sample"])
def test_random_labels_change_salient_weights_alone(seed: int, kind: str) -> None:
    case, method = Case(seed, kind), SalUn(lambda_retain=0.6)  # type: ignore[arg-type]
    method.prepare(preparation(case))
    targets = []
    for label, sample in zip(case.labels("forget"), case.batch.forget.sample_ids.tolist(), strict=True):
        left = [(label + k) % CLASSES for k in range(1, CLASSES) if (label + k) % CLASSES not in case.forget_classes]
        targets.append(left[hash_of(sample, 17, 31) % len(left)])
    forget, d_forget = cross_entropy(case.seen("forget").logits, targets)
    retain, d_retain = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    upstream = {"forget": {"logits": d_forget}, "retain": {"logits": 0.6 * d_retain}}
    check(method, case, forget + 0.6 * retain, upstream)
    mask = salient(case, 0.5)
    method.edit_gradients(case.context())
    found = {n: p.grad.numpy() for n, p in case.models[0].named_parameters() if p.grad is not None}
    same(found, {n: g * mask[n] for n, g in expected(case, upstream).items()})


def test_the_shipped_weight_of_retain_rows_is_one() -> None:
    case, method = Case(0), SalUn()
    losses, _ = run(method, case)
    total = losses.terms["relabel_loss"] + losses.terms["retain_loss"]
    assert losses.total.item() == pytest.approx(total.item(), rel=1e-12)
