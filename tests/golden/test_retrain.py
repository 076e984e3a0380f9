from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.retrain import Retrain
from tests.golden.plain_losses import cross_entropy
from tests.golden.tiny_model import SEEDS, Case, check, weights_of
from tests.golden.tiny_split import preparation


@pytest.mark.parametrize("seed", SEEDS)
def test_it_starts_from_the_untrained_weights_and_sees_retain_rows_alone(seed: int) -> None:
    case = Case(seed)
    before, fresh = weights_of(case.models[0]), weights_of(case.models[2])
    assert Retrain().prepare(preparation(case)) == 0
    after = weights_of(case.models[0])
    for name, value in fresh.items():
        np.testing.assert_array_equal(after[name], value)
        assert not np.array_equal(after[name], before[name])
    loss, gradient = cross_entropy(case.seen("retain").logits, case.labels("retain"))
    check(Retrain(), case, loss, {"retain": {"logits": gradient}})


def test_the_untrained_weights_are_copied_and_not_shared() -> None:
    case = Case(0)
    Retrain().prepare(preparation(case))
    fresh = weights_of(case.models[2])
    for p in case.models[0].parameters():
        p.data.add_(1)
    for name, value in weights_of(case.models[2]).items():
        np.testing.assert_array_equal(value, fresh[name])
