from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.methods.boundary_expanding import BoundaryExpanding
from tests.golden.plain_losses import Array, cross_entropy
from tests.golden.tiny_model import CLASSES, EMBEDDING, SEEDS, Case, Upstream, check, round_to_bfloat16, run


def shadowed(case: Case, shadow: Array) -> tuple[float, Upstream, Array]:
    """(loss, gradients, gradient of the shadow unit): cross-entropy with class C of C + 1."""
    seen = case.seen("forget")
    logit = seen.embedding @ shadow[:-1] + shadow[-1]
    loss, gradient = cross_entropy(np.column_stack([seen.logits, logit]), [CLASSES] * len(logit))
    upstream = {"logits": gradient[:, :CLASSES], "embedding": np.outer(gradient[:, CLASSES], shadow[:-1])}
    own = np.append(gradient[:, CLASSES] @ seen.embedding, gradient[:, CLASSES].sum())
    return loss, {"forget": upstream}, own


@pytest.mark.parametrize("seed", SEEDS)
def test_the_shadow_unit_learns_by_its_own_plain_gradient_descent(seed: int) -> None:
    """Three steps at rates that differ; the model stays, the unit starts at zero and is part of the state."""
    case, shadow = Case(seed), np.zeros(EMBEDDING + 1)
    method = BoundaryExpanding()
    for step, rate in enumerate((0.3, 0.5, 0.2)):
        case = case.at(step=step, learning_rate=rate)
        loss, upstream, own = shadowed(case, shadow)
        check(method, case, loss, upstream)
        method.edit_gradients(case.context())
        shadow = shadow - rate * own
        assert not case.state["shadow"].requires_grad
        np.testing.assert_allclose(case.state["shadow"].numpy(), shadow, rtol=1e-10, atol=1e-12)


def test_a_given_shadow_unit_is_used() -> None:
    shadow = np.linspace(-1, 1.5, EMBEDDING + 1)
    case = Case(4, "class", state={"shadow": torch.from_numpy(shadow.copy())})
    loss, upstream, _ = shadowed(case, shadow)
    check(BoundaryExpanding(), case, loss, upstream)


def test_the_models_gradients_are_left_alone() -> None:
    case = Case(5, "class")
    _, before = run(BoundaryExpanding(), case)
    BoundaryExpanding().edit_gradients(case.context())
    for name, p in case.models[0].named_parameters():
        assert p.grad is not None
        np.testing.assert_array_equal(p.grad.numpy(), before[name])


def test_half_precision_features_are_raised_before_the_shadow_unit() -> None:
    """The shadow unit itself is float32; its logit joins logits of half precision."""
    case = Case(3)
    method = BoundaryExpanding()
    total = method.losses(case.context(rounded=True), case.batch).total
    assert case.state["shadow"].dtype == torch.float32
    seen = round_to_bfloat16(case.seen("forget"))
    logits = np.column_stack([seen.logits, np.zeros(len(seen.logits))])
    assert total.item() == pytest.approx(cross_entropy(logits, [CLASSES] * len(logits))[0], rel=2e-6)
