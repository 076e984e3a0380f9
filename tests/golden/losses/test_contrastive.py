from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.losses.contrastive import (
    Embedded,
    anchor_terms,
    class_weights,
    dispersion_share,
    dispersion_sum,
    without_classes,
)
from tests.golden.plain_contrastive import equation_5, mean_cosine, spread
from tests.golden.plain_losses import Array, log_sum_exp, unit_rows

LABELS, KEY_LABELS = [0, 3, 1, 4, 1], [2, 0, 1, 3, 3, 0, 2, 1]
"""The anchor of class 4 has no key of its class; keys of class 2 have no anchor."""


def drawn(seed: int) -> tuple[Array, Array, Array]:
    draw = np.random.default_rng(seed)
    weights = draw.uniform(size=(len(LABELS), len(KEY_LABELS)))
    return unit_rows(draw.normal(size=(len(LABELS), 4))), unit_rows(draw.normal(size=(len(KEY_LABELS), 4))), weights


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [0.1, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("softmax", [False, True])
def test_parts_and_gradients(seed: int, temperature: float, weighted: bool, own: bool, softmax: bool) -> None:
    anchors, keys, weights = drawn(seed)
    given = weights if weighted else None
    scores = np.array([[float(a @ k) / temperature for k in keys] for a in anchors])
    a, k = (torch.from_numpy(x.copy()).requires_grad_() for x in (anchors, keys))
    terms = anchor_terms(
        Embedded(a, torch.tensor(LABELS)), Embedded(k, torch.tensor(KEY_LABELS)), temperature=temperature,
        pull_weights_NM=None if given is None else torch.from_numpy(given), own_class_pulls=own, softmax_pull=softmax,
    )  # fmt: skip
    assert terms.num_same.tolist() == [2, 2, 2, 0, 2]
    assert terms.num_other.tolist() == [6, 6, 6, 8, 6]
    for i, label in enumerate(LABELS):
        row = slice(i, i + 1)
        one = equation_5(scores[row], [label], KEY_LABELS, None if given is None else given[row], [1.0], own, softmax)
        for value, wanted, d_scores in ((terms.pull[i], one.pull, one.d_pull), (terms.push[i], one.push, one.d_push)):
            assert value.item() == pytest.approx(wanted, rel=1e-10, abs=1e-13)
            d_a, d_k = torch.autograd.grad(value, (a, k), retain_graph=True)
            expected = np.zeros_like(anchors)
            expected[i] = d_scores[0] @ keys / temperature
            np.testing.assert_allclose(d_a, expected, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(d_k, np.outer(d_scores[0], anchors[i]) / temperature, rtol=1e-10, atol=1e-12)


def test_an_anchor_that_nothing_may_pull_has_no_pull() -> None:
    """All keys are of its class, or all weights are zero; the push stays."""
    anchors, keys, _ = drawn(0)
    a, zero = torch.from_numpy(anchors), torch.zeros(5, 8)
    k = torch.from_numpy(keys)
    of_own = anchor_terms(
        Embedded(a[:1], torch.tensor([2])), Embedded(k, torch.full((8,), 2)), temperature=0.5, softmax_pull=True
    )
    weightless = anchor_terms(
        Embedded(a, torch.tensor(LABELS)),
        Embedded(k, torch.tensor(KEY_LABELS)),
        temperature=0.5,
        pull_weights_NM=zero,
        softmax_pull=True,
    )
    assert of_own.pull.tolist() == [0]
    assert weightless.pull.tolist() == [0] * 5
    assert of_own.push.item() == pytest.approx(log_sum_exp([float(anchors[0] @ x) / 0.5 for x in keys]), rel=1e-10)
    assert (of_own.num_other.item(), of_own.num_same.item()) == (0, 8)


def test_classes_spread_their_share_over_their_keys() -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(6), size=5)  # no key of classes 4 and 5
    found = class_weights(torch.from_numpy(shares), torch.tensor(KEY_LABELS))
    np.testing.assert_allclose(found, spread(shares, KEY_LABELS), rtol=1e-12)


def test_the_own_class_is_masked_and_the_rest_renormalised() -> None:
    probs = np.random.default_rng(2).dirichlet(np.ones(5), size=5)
    wanted = probs.copy()
    for i, label in enumerate(LABELS):
        wanted[i, label] = 0
        wanted[i] /= sum(probs[i, c] for c in range(5) if c != label)
    found = without_classes(torch.from_numpy(probs), torch.tensor(LABELS))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    sure = without_classes(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert sure.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("seed", range(3))
def test_dispersion_is_the_mean_cosine_of_pairs(seed: int) -> None:
    rows, _, _ = drawn(seed)
    mean, gradient = mean_cosine(rows)
    given = torch.from_numpy(rows.copy()).requires_grad_()
    share = dispersion_share(given, 5)
    share.backward()
    assert share.item() == pytest.approx(mean, rel=1e-10)
    np.testing.assert_allclose(given.grad, gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("first", [0, 2, 3])
def test_local_anchors_are_paired_with_all_others(first: int) -> None:
    """Two of five rows are local."""
    rows, _, _ = drawn(3)
    wanted = sum(float(rows[i] @ rows[j]) for i in (first, first + 1) for j in range(5) if i != j)
    everyone = torch.from_numpy(rows)
    assert dispersion_sum(everyone[first : first + 2], everyone, first).item() == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_anchors_have_no_pair(count: int) -> None:
    given = torch.from_numpy(drawn(0)[0][:count]).requires_grad_()
    share = dispersion_share(given, count)
    share.backward()
    assert share.item() == pytest.approx(0, abs=1e-15)
