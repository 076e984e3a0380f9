from __future__ import annotations

import pytest

from cu_core.methods.scrub import Scrub
from tests.golden.plain_losses import cross_entropy, kl
from tests.golden.tiny_model import SEEDS, Case, check, run

ORIGINAL = 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shipped", [True, False])
@pytest.mark.parametrize("step", range(10))
def test_forget_and_retain_steps_alternate_and_then_retain_steps_alone(seed: int, shipped: bool, step: int) -> None:
    """Of ten steps number 0, 2 and 4 (shipped: the first half) or 0, 2, 4 and 6 (max_frac 0.7) leave the teacher."""
    case = Case(seed, step=step)
    alpha, gamma, temperature = (0.5, 1.0, 4.0) if shipped else (0.3, 1.7, 2.0)
    method = Scrub() if shipped else Scrub(alpha=alpha, gamma=gamma, temperature=temperature, max_frac=0.7)
    if step in ((0, 2, 4) if shipped else (0, 2, 4, 6)):
        distance, gradient = kl(case.seen("forget").logits, case.seen("forget", ORIGINAL).logits, temperature)
        losses = check(method, case, -distance, {"forget": {"logits": -gradient}})
        terms = {"forget_distance": distance, "retain_distance": 0.0, "retain_loss": 0.0}
    else:
        distance, gradient = kl(case.seen("retain").logits, case.seen("retain", ORIGINAL).logits, temperature)
        entropy, d_entropy = cross_entropy(case.seen("retain").logits, case.labels("retain"))
        upstream = {"retain": {"logits": alpha * gradient + gamma * d_entropy}}
        losses = check(method, case, alpha * distance + gamma * entropy, upstream)
        terms = {"forget_distance": 0.0, "retain_distance": distance, "retain_loss": entropy}
    assert {n: losses.terms[n].item() for n in terms} == pytest.approx(terms, rel=1e-10)


def test_no_forget_step_at_max_frac_itself() -> None:
    """Step 4 of eight is even and stands at one half of the run: forget steps are over."""
    losses, _ = run(Scrub(), Case(0, step=4, max_steps=8))
    assert losses.terms["forget_distance"].item() == 0
    assert losses.terms["retain_loss"].item() > 0
