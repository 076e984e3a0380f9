"""A made row of the head on features where the class means decide, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cu_core.metrics.imprinting import Known, imprinted_recovery

HEAD = np.array([[4.0, 0, 0], [0, 4, 0], [0, 0, 0]])
"""Logits of classes 0 and 1 are four times their own axis; class 2 is forgotten and masked."""
MASKED = np.array([0.0, 0, -100])
FORGET = np.tile([0.0, 0, 1], (9, 1)), np.full(9, 2)


def known(places: np.ndarray, labels: list[int], shift: float = 0.0, added: float = 0.0) -> Known:
    """Rows whose features are moved by ``shift``, with the head that undoes it, and ``added`` to all logits."""
    logits = places @ HEAD.T + MASKED + added
    return Known((places + shift).astype(np.float32), logits.astype(np.float32), np.array(labels))


RETAIN = np.repeat(np.eye(3)[:2], 10, axis=0), [0] * 10 + [1] * 10


def recovered(shares: list[float], shift: float = 0.0, added: float = 0.0) -> list[float]:
    """Test rows lie at ``share`` of the way from the mean of class 0 to that of the forgotten class."""
    places = np.stack([(1 - t) * np.eye(3)[0] + t * np.eye(3)[2] for t in shares])
    found = imprinted_recovery(
        (FORGET[0] + shift, FORGET[1]),
        known(*RETAIN, shift, added),
        known(places, [2] * len(shares), shift, added),
        shots=5,
        draws=3,
        seed=0,
    )
    return found.tolist()


def test_the_border_is_where_plain_arithmetic_puts_it() -> None:
    """m = (1/2, 1/2, 0), s = (4 - 2) / |(1/2, -1/2, 0)| = 2 sqrt 2, |p - m| = sqrt 1.5. At t from class 0, the other
    logits are 4 (1 - t) and 0, and the made one is 2 (1 - t) + 2 sqrt 2 * 1.5 t / sqrt 1.5 = 2 (1 - t) + 2 sqrt 3 t:
    equal at t = 1 / (1 + sqrt 3) = 0.3660."""
    border = 1 / (1 + 3**0.5)
    assert recovered([0.0, border - 0.001, border + 0.001, 1.0]) == [0, 0, 1, 1]


@pytest.mark.parametrize(("shift", "added"), [(7.0, 0.0), (0.0, 50.0), (-3.0, -20.0)])
def test_neither_the_origin_nor_a_constant_in_the_logits_matters(shift: float, added: float) -> None:
    border = 1 / (1 + 3**0.5)
    assert recovered([0.0, border - 0.001, border + 0.001, 1.0], shift, added) == [0, 0, 1, 1]


def test_two_forgotten_classes_compete_and_their_old_logits_do_not_count() -> None:
    """Classes 2 and 3 forgotten, along their own axes; the model's old logit of 3 is the largest everywhere."""
    axes = np.eye(4)
    head = np.concatenate([4 * axes[:2], np.zeros((2, 4))])

    def rows(numbers: list[int]) -> Known:
        places = axes[numbers]
        return Known(places.astype(np.float32), (places @ head.T + [0, 0, 0, 99]).astype(np.float32), np.array(numbers))

    forget = rows([2] * 6 + [3] * 6)
    test = rows([2, 3, 3])
    test = test._replace(labels=np.array([2, 3, 2]))
    found = imprinted_recovery(
        (forget.embedding, forget.labels), rows([0] * 5 + [1] * 5), test, shots=5, draws=2, seed=0
    )
    assert found.tolist() == [1, 1, 0]


def test_the_share_is_over_draws_of_the_seed() -> None:
    """Half of the forget rows lie on class 0: how many of five are drawn decides."""
    mixed = np.concatenate([np.tile([0.0, 0, 1], (10, 1)), np.tile([1.0, 0, 0], (10, 1))]), np.full(20, 2)
    test = known(np.array([[0.45, 0, 0.55]]), [2])
    shares = [
        imprinted_recovery(mixed, known(*RETAIN), test, shots=5, draws=40, seed=seed)[0] for seed in (0, 0, 1, 2, 3)
    ]
    assert shares[0] == shares[1]
    assert 0 < shares[0] < 1
    assert len(set(shares)) > 1
