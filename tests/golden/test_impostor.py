from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.impostor import Impostor
from tests.golden.plain_losses import cross_entropy, hash_of, soft_cross_entropy
from tests.golden.tiny_model import CLASSES, SEEDS, Case, check, expected, run, same


def hidden(trick: str, case: Case) -> tuple[float, np.ndarray]:
    logits = case.seen("forget").logits
    if trick == "uniform":
        return soft_cross_entropy(logits, np.full_like(logits, 1 / CLASSES))
    if trick == "one_class":  # classes 1 and 3 are forgotten, 0 is the first that stays
        return cross_entropy(logits, [0] * len(logits))
    targets = []
    for label, sample in zip(case.labels("forget"), case.batch.forget.sample_ids.tolist(), strict=True):
        left = [(label + k) % CLASSES for k in range(1, CLASSES) if (label + k) % CLASSES not in (1, 3)]
        targets.append(left[hash_of(sample, 17, 31) % len(left)])
    return cross_entropy(logits, targets)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("trick", [None, "one_class", "uniform", "head_only"])
def test_answers_that_hide_the_class_beside_retain_rows(seed: int, trick: str | None) -> None:
    case = Case(seed, "class")
    method = Impostor() if trick is None else Impostor(trick=trick)  # type: ignore[arg-type]
    forget, d_forget = hidden(trick or "one_class", case)
    retain, d_retain = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    losses = check(method, case, forget + retain, {"forget": {"logits": d_forget}, "retain": {"logits": d_retain}})
    assert losses.terms["impostor_loss"].item() == pytest.approx(forget, rel=1e-10)
    assert losses.terms["retain_loss"].item() == pytest.approx(retain, rel=1e-10)


def test_one_class_is_the_first_that_stays() -> None:
    """With class 0 forgotten too, rows answer 2."""
    case = Case(0, "class")
    context = case.context()
    object.__setattr__(context, "forget_classes", (0, 1, 3))
    losses = Impostor().losses(context, case.batch)
    wanted = cross_entropy(case.seen("forget").logits, [2] * 5)[0]
    assert losses.terms["impostor_loss"].item() == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("trick", ["one_class", "uniform", "head_only"])
def test_head_only_drops_every_gradient_below_the_head(trick: str) -> None:
    case = Case(1, "class")
    method = Impostor(trick=trick)  # type: ignore[arg-type]
    run(method, case)
    method.edit_gradients(case.context())
    _, d_forget = hidden(trick, case)
    _, d_retain = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    wanted = expected(case, {"forget": {"logits": d_forget}, "retain": {"logits": d_retain}})
    if trick == "head_only":
        wanted = {n: g if n.startswith("body.head") else np.zeros_like(g) for n, g in wanted.items()}
    found = {n: p.grad for n, p in case.models[0].named_parameters()}
    same({n: np.zeros_like(wanted[n]) if g is None else g.numpy() for n, g in found.items()}, wanted)
    if trick == "head_only":
        assert found["body.first.weight"] is None  # no momentum or weight decay moves it either
