from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cu_core.losses.contrastive import Embedded, anchor_terms, class_weights, dispersion_sum, without_classes


def unit_rows(count: int, width: int, seed: int) -> torch.Tensor:
    return F.normalize(
        torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=1
    )


@settings(max_examples=40)
@given(n=st.integers(1, 5), m=st.integers(1, 8), classes=st.integers(1, 4), seed=st.integers(0, 99))
def test_anchor_terms_equal_plain_loops(n: int, m: int, classes: int, seed: int) -> None:
    """Equation 5 written out: -1/|N| sum_a [s_ia - logsumexp_p s_ip]."""
    tau = 0.3
    anchors, retain = unit_rows(n, 3, seed), unit_rows(m, 3, seed + 1)
    g = torch.Generator().manual_seed(seed)
    labels, retain_labels = (
        torch.randint(classes, (n,), generator=g),
        torch.randint(classes, (m,), generator=g),
    )
    terms = anchor_terms(Embedded(anchors, labels), Embedded(retain, retain_labels), temperature=tau)
    for i in range(n):
        same = [p for p in range(m) if retain_labels[p] == labels[i]]
        other = [a for a in range(m) if retain_labels[a] != labels[i]]
        score = [float(anchors[i] @ retain[j]) / tau for j in range(m)]
        assert terms.num_same[i] == len(same)
        assert terms.num_other[i] == len(other)
        assert float(terms.pull[i]) == pytest.approx(-sum(score[a] for a in other) / len(other) if other else 0)
        push = math.log(sum(math.exp(score[p]) for p in same)) if same else 0
        assert float(terms.push[i]) == pytest.approx(push)


def test_an_anchor_without_positives_has_finite_gradient() -> None:
    anchors = unit_rows(2, 3, 0).requires_grad_()
    terms = anchor_terms(
        Embedded(anchors, torch.tensor([0, 1])), Embedded(unit_rows(3, 3, 1), torch.tensor([0, 0, 0])), temperature=0.1
    )
    (terms.pull.sum() + terms.push.sum()).backward()
    assert anchors.grad is not None
    assert torch.isfinite(anchors.grad).all()


def test_no_anchor_and_no_retain_row_are_zero_with_gradient() -> None:
    anchors = torch.zeros(0, 3, requires_grad=True)
    terms = anchor_terms(
        Embedded(anchors, torch.zeros(0, dtype=torch.long)),
        Embedded(unit_rows(2, 3, 0).float(), torch.tensor([0, 1])),
        temperature=1.0,
    )
    assert float(terms.pull.sum() + terms.push.sum()) == 0
    assert terms.pull.requires_grad


def test_the_gradient_of_equation_six_is_that_of_the_pull() -> None:
    anchors, retain = unit_rows(3, 4, 0).requires_grad_(), unit_rows(5, 4, 1)
    written_out = torch.stack(
        [-sum(anchors[i] @ retain[a] / 0.5 - math.log(5) for a in range(5)) / 5 for i in range(3)]
    )
    (want,) = torch.autograd.grad(written_out.sum(), anchors)
    terms = anchor_terms(Embedded(anchors, torch.zeros(3)), Embedded(retain, torch.ones(5)), temperature=0.5)
    (have,) = torch.autograd.grad(terms.pull.sum() + terms.push.sum(), anchors)
    torch.testing.assert_close(have, want)


def test_temperature_must_be_positive() -> None:
    with pytest.raises(ValueError, match="temperature must be positive"):
        anchor_terms(
            Embedded(unit_rows(1, 2, 0), torch.tensor([0])),
            Embedded(unit_rows(1, 2, 1), torch.tensor([1])),
            temperature=0,
        )


def test_tilted_weights_follow_the_original_without_the_class() -> None:
    """p0 = (.5, .3, .2), own class 0: classes 1 and 2 get .6 and .4, the latter split over its two rows."""
    shares = without_classes(torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([0]))
    weights = class_weights(shares, torch.tensor([1, 2, 2]))
    torch.testing.assert_close(weights, torch.tensor([[0.6, 0.2, 0.2]]))


def test_dispersion_counts_every_pair_of_distinct_anchors() -> None:
    rows = unit_rows(4, 3, 0)
    expected = sum(float(rows[i] @ rows[j]) for i in range(4) for j in range(4) if i != j)
    parts = dispersion_sum(rows[:1], rows, 0) + dispersion_sum(rows[1:], rows, 1)
    assert float(parts) == pytest.approx(expected)
