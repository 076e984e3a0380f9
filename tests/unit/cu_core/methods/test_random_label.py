from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cu_core.methods.random_label import RandomLabel, wrong_labels
from cu_core.types import Batch
from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs


def test_labels_are_wrong_uniform_and_belong_to_the_row() -> None:
    labels = torch.arange(4000) % 5
    rows = Batch(torch.zeros(4000, 1), labels, torch.arange(4000))
    drawn = wrong_labels(rows, 5, seed=1)
    assert not (drawn == labels).any()
    shares = np.bincount(((drawn - labels) % 5).numpy(), minlength=5)
    assert shares[0] == 0
    assert (abs(shares[1:] - 1000) < 120).all()  # 4 standard deviations of a count of 1000
    last = Batch(rows.images[7:], labels[7:], rows.sample_ids[7:])
    assert torch.equal(wrong_labels(last, 5, seed=1), drawn[7:])
    assert not torch.equal(wrong_labels(rows, 5, seed=2), drawn)


def test_no_row_takes_a_class_that_is_to_be_forgotten_too() -> None:
    labels = torch.arange(3000) % 5
    rows = Batch(torch.zeros(3000, 1), labels, torch.arange(3000))
    drawn = wrong_labels(rows, 5, seed=1, forget_classes=(1, 3))
    assert set(drawn.tolist()) == {0, 2, 4}
    assert not (drawn == labels).any()
    with pytest.raises(ValueError, match="neither the row's own nor forgotten"):
        wrong_labels(rows, 5, seed=1, forget_classes=(0, 1, 2, 3, 4))


def test_of_two_classes_the_wrong_one_is_the_other() -> None:
    given = context(forget=outputs([[LN3, 0.0]]), retain=outputs([[LN3, 0.0]]))
    losses = RandomLabel(lambda_retain=2.0).losses(given, batch([0], [0]))
    assert losses.total.item() == pytest.approx(math.log(4) + 2 * math.log(4 / 3))
