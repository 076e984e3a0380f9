from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.losses.classification import cross_entropy_share, soft_cross_entropy_share
from tests.golden.plain_losses import cross_entropy, soft_cross_entropy

ROWS, CLASSES = 6, 5


def drawn(seed: int) -> tuple[np.ndarray, list[int], np.ndarray]:
    draw = np.random.default_rng(seed)
    targets = draw.dirichlet(np.ones(CLASSES), size=ROWS) * draw.uniform(0.5, 1.5, size=(ROWS, 1))
    return 4 * draw.normal(size=(ROWS, CLASSES)), draw.integers(CLASSES, size=ROWS).tolist(), targets


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("everyone", [ROWS, 17])
def test_shares_and_gradients(seed: int, everyone: int) -> None:
    """This rank holds 6 of ``everyone`` rows."""
    values, labels, targets = drawn(seed)
    for which, (mean, gradient) in {
        "hard": cross_entropy(values, labels),
        "soft": soft_cross_entropy(values, targets),
    }.items():
        logits = torch.from_numpy(values.copy()).requires_grad_()
        if which == "hard":
            share = cross_entropy_share(logits, torch.tensor(labels), everyone)
        else:
            share = soft_cross_entropy_share(logits, torch.from_numpy(targets), everyone)
        share.backward()
        assert share.item() == pytest.approx(mean * ROWS / everyone, rel=1e-10)
        np.testing.assert_allclose(logits.grad, gradient * ROWS / everyone, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_raised_to_float32(dtype: torch.dtype) -> None:
    values, labels, targets = drawn(7)
    logits = torch.from_numpy(values).to(dtype)
    rounded = logits.double().numpy()
    hard = cross_entropy_share(logits, torch.tensor(labels), ROWS)
    soft = soft_cross_entropy_share(logits, torch.from_numpy(targets).float(), ROWS)
    assert hard.dtype == soft.dtype == torch.float32
    assert hard.item() == pytest.approx(cross_entropy(rounded, labels)[0], rel=1e-6)
    assert soft.item() == pytest.approx(soft_cross_entropy(rounded, targets)[0], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_precision_of_others_is_kept(dtype: torch.dtype) -> None:
    values, labels, targets = drawn(8)
    logits = torch.from_numpy(values).to(dtype)
    assert cross_entropy_share(logits, torch.tensor(labels), ROWS).dtype == dtype
    assert soft_cross_entropy_share(logits, torch.from_numpy(targets), ROWS).dtype == dtype


def test_no_rows_anywhere_are_zero_with_gradient() -> None:
    logits = torch.zeros(0, CLASSES, requires_grad=True)
    for share in (
        cross_entropy_share(logits, torch.zeros(0, dtype=torch.long), 0),
        soft_cross_entropy_share(logits, torch.zeros(0, CLASSES), 0),
    ):
        share.backward()
        assert share.item() == 0
