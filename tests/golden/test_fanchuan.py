from __future__ import annotations

import math

import numpy as np
import pytest

from cu_core.methods.fanchuan import Fanchuan
from tests.golden.plain_losses import Array, cross_entropy, kl, log_sum_exp, softmax
from tests.golden.tiny_model import SEEDS, Case, check, check_rounded, round_to_bfloat16

SHIPPED = {"uniform_frac": 0.1, "contrast_until": 0.7, "temperature": 1.15, "lambda_contrast": 0.1}
OTHER = {"uniform_frac": 0.3, "contrast_until": 0.55, "temperature": 0.8, "lambda_contrast": 0.7}
# Of twenty steps: uniform answers, then the even ones contrast, then retain steps alone.
UNIFORM = {"shipped": (0, 1), "other": (0, 1, 2, 3, 4, 5)}
CONTRAST = {"shipped": (2, 4, 6, 8, 10, 12), "other": (6, 8, 10)}


def contrast(forget_NC: Array, retain_MC: Array, temperature: float) -> tuple[float, Array]:
    """- mean over forget rows i and retain rows m of log softmax_m (z_i . z_m / T); no gradient for retain rows."""
    total, gradient, pairs = 0.0, np.zeros_like(forget_NC), len(forget_NC) * len(retain_MC)
    for i, z in enumerate(forget_NC):
        scores = [sum(z * key) / temperature for key in retain_MC]
        normaliser, share = log_sum_exp(scores), softmax(scores)
        for m, key in enumerate(retain_MC):
            total += (normaliser - scores[m]) / pairs
            gradient[i] += (len(retain_MC) * share[m] - 1) * key / temperature / pairs
    return total, gradient


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("which", ["shipped", "other"])
@pytest.mark.parametrize("step", range(20))
def test_three_phases(seed: int, which: str, step: int) -> None:
    case, settings = Case(seed, step=step, max_steps=20), SHIPPED if which == "shipped" else OTHER
    method = Fanchuan() if which == "shipped" else Fanchuan(**settings)
    forget, retain = case.seen("forget").logits, case.seen("retain").logits
    if step in UNIFORM[which]:
        loss, gradient = kl(forget, np.zeros_like(forget), 1.0)
        name, part = "uniform_loss", "forget"
        even = sum(log_sum_exp(list(z)) - z.mean() - math.log(len(z)) for z in forget) / len(forget)
        assert loss == pytest.approx(even, rel=1e-10)
    elif step in CONTRAST[which]:
        loss, gradient = contrast(forget, retain, settings["temperature"])
        loss, gradient = (settings["lambda_contrast"] * x for x in (loss, gradient))
        name, part = "contrast_loss", "forget"
    else:
        loss, gradient = cross_entropy(retain, case.labels("retain"))
        name, part = "retain_loss", "retain"
    losses = check(method, case, loss, {part: {"logits": gradient}})
    terms = {"uniform_loss": 0.0, "contrast_loss": 0.0, "retain_loss": 0.0, "loss": loss, name: loss}
    assert {n: t.item() for n, t in losses.terms.items()} == pytest.approx(terms, rel=1e-10)


def test_half_precision_answers_are_raised_before_the_contrast() -> None:
    case = Case(3, step=2)
    seen = [round_to_bfloat16(case.seen(part)).logits for part in ("forget", "retain")]
    check_rounded(Fanchuan(), case, 0.1 * contrast(*seen, 1.15)[0])  # type: ignore[arg-type]
