from __future__ import annotations

import numpy as np
import pytest

from cu_core.methods.logit_mask import LogitMask
from tests.golden.tiny_model import CLASSES, SEEDS, Case, weights_of
from tests.golden.tiny_split import preparation


@pytest.mark.parametrize("seed", SEEDS)
def test_the_heads_rows_of_forgotten_classes_are_zero_with_a_bias_far_below(seed: int) -> None:
    case = Case(seed, "class")
    wanted = weights_of(case.models[0])
    for forgotten in (1, 3):
        wanted["body.head.weight"][forgotten] = 0
        wanted["body.head.bias"][forgotten] = -10_000
    assert LogitMask().prepare(preparation(case)) == 0
    for name, value in weights_of(case.models[0]).items():
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)
    assert set(case.seen("forget").logits.argmax(1)) <= set(range(CLASSES)) - {1, 3}
