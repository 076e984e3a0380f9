from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.methods.peers import PEERS, sure_as_peers
from tests.golden.plain_losses import Array


def window(place: int, count: int) -> range:
    """The 32 places around ``place`` (16 before it, itself, 15 after), moved inside the list."""
    width = min(32, count)
    first = max(0, min(place - width // 2, count - width))
    return range(first, first + width)


def plain_peers(agree: Array, sure: Array, agree_unseen: Array, sure_unseen: Array) -> tuple[Array, Array]:
    """One forget row at a time."""
    by_agreement = sorted(range(len(agree)), key=lambda j: agree[j])
    unseen = sorted(range(len(agree_unseen)), key=lambda j: agree_unseen[j])
    found, usual = np.zeros(len(agree)), np.zeros(len(agree))
    for i in range(len(agree)):
        around = [by_agreement[p] for p in window(by_agreement.index(i), len(agree))]
        less, equal = (sum(test(sure[j]) for j in around) for test in (sure[i].__gt__, sure[i].__eq__))
        rank = (less + equal / 2) / len(around)
        first, last = (sum(test(a) for a in agree_unseen) for test in (agree[i].__gt__, agree[i].__ge__))
        certain = sorted(sure_unseen[unseen[p]] for p in window((first + last) // 2, len(unseen)))
        found[i] = certain[round(rank * (len(certain) - 1))]
        low, high = agree[around[0]], agree[around[-1]]
        here = np.mean([low <= a <= high for a in agree])
        there = np.mean([low <= a <= high for a in agree_unseen])
        usual[i] = min(1.0, there / here)
    return found, usual


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("forget", "unseen"), [(50, 70), (20, 90), (80, 11), (1, 3)])
@pytest.mark.parametrize("ties", [False, True])
def test_it_is_a_plain_loop_over_forget_rows(seed: int, forget: int, unseen: int, ties: bool) -> None:
    assert PEERS == 32
    draw = np.random.default_rng([seed, forget])
    given = [draw.uniform(size=n) ** power for n, power in ((forget, 2), (forget, 1), (unseen, 1), (unseen, 1.5))]
    if ties:
        given = [np.round(x, 1) for x in given]
    found = sure_as_peers(*(torch.from_numpy(x) for x in given))
    for value, wanted in zip(found, plain_peers(*given), strict=True):
        np.testing.assert_allclose(value.numpy(), wanted, rtol=1e-12)
    assert found[1].max() <= 1
