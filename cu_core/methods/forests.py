"""Estimates what a model without the forgotten rows would answer: random forests and the original's own answer.

The original was trained to separate a forgotten class from those most like it. So its upper layers, and its answer
without the class, are wrong about exactly these classes. Forests on pixels and on lower layers, fitted on a few retain
rows, were not trained in this way. Their combined answer is close to what retrained models answer
(docs/results/targets.md).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cu_core.dist import gather_rows, rank
from cu_core.methods.bank import bank_rows, gather_measured
from cu_core.methods.base import Preparation
from cu_core.methods.fit import in_full
from cu_core.types import Batch

TREES = 200
PIXELS = 28
"""Side to which larger images are averaged for the forest on pixels."""
PENALTY = 0.05
"""Inverse strength of the head's penalty."""
LEAST = 1e-3
"""Added to every class's share of a forest: 200 trees do not know a smaller one."""
SMALLEST = 1e-6
"""Lower bound on a probability before its logarithm."""
SHARPNESS = 2.0
"""Power of the geometric mean: forests are less sure than models. Chosen on Fashion-MNIST, classes 7, 6, 3, 2."""


class Target(NamedTuple):
    """What a model that never saw F forget rows would answer."""

    sample_ids: Tensor
    """(F,), ascending."""
    shares: Tensor
    """(F, C): probability of each class."""
    excess: Tensor
    """(F,): how much surer the original is of the row's class than that, 0 to 1: how far it has memorised the row."""
    rows: int
    """Training rows that this rank forwarded."""


def forest_shares(prep: Preparation, bank: int) -> Target:
    """Compute shares of classes for every forget row.

    They are the geometric mean of a head's answer and of the answers of forests, one on pixels and one on the features
    at each of the model's ``depths``, to the power of ``SHARPNESS``.

    For class requests the head is the original's own, without the forgotten classes. For sample requests it is a linear
    one on the last of the depths, since the original's own was trained on the rows. Forests (extremely randomised
    trees: Geurts et al. 2006) and the linear head are fitted by one rank for all.

    Args:
        prep: The original and the data.
        bank: Number of retain rows on which forests and head are fitted.

    Returns:
        Shares and excess of every forget row.
    """

    def measure(batch: Batch) -> tuple[Tensor, ...]:
        features, logits = prep.model.at_depths(batch.images)
        return batch.sample_ids, batch.labels, in_full(logits), _pixels(batch.images), *map(in_full, features)

    (ids, labels, logits, *forget), own = gather_measured(prep, prep.split.forget.rows, measure)
    (_, known, _, *retain), more = gather_measured(prep, bank_rows(prep, bank), measure)
    probs = logits.softmax(1)
    shares = torch.zeros_like(probs[:0])
    if rank() == 0:
        forests = [_forest(a, known, b, prep) for a, b in zip(retain, forget, strict=True)]
        head = logits if prep.split.forget.classes else _head(retain[-1], known, forget[-1], prep).log()
        shares = _together(head, forests, prep)
    shares = gather_rows(shares)
    place = labels[:, None]
    excess = (probs.gather(1, place) - shares.gather(1, place))[:, 0].clamp_min(0)
    order = ids.argsort()
    return Target(ids[order], shares[order], excess[order], own + more)


def _pixels(images: Tensor) -> Tensor:
    side = min(PIXELS, images.shape[-1])
    return F.adaptive_avg_pool2d(images.float(), side).flatten(1)


def _forest(retain_MD: Tensor, labels_M: Tensor, forget_FD: Tensor, prep: Preparation) -> Tensor:
    """Compute the shares of the trees, (F, C)."""
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(TREES, random_state=prep.seed).fit(_plain(retain_MD), _plain(labels_M))
    shares = np.zeros((len(forget_FD), prep.num_classes))
    shares[:, forest.classes_] = forest.predict_proba(_plain(forget_FD))
    return torch.from_numpy(shares).to(retain_MD)


def _head(retain_MD: Tensor, labels_M: Tensor, forget_FD: Tensor, prep: Preparation) -> Tensor:
    """Compute the answers of multinomial logistic regression on standardised features, (F, C)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=300))
    head.fit(_plain(retain_MD), _plain(labels_M))
    answers = np.zeros((len(forget_FD), prep.num_classes))
    answers[:, head.classes_] = head.predict_proba(_plain(forget_FD))
    return torch.from_numpy(answers).to(retain_MD)


def _plain(x: Tensor) -> NDArray[np.generic]:
    return x.cpu().numpy()


def _together(head_FC: Tensor, forests: list[Tensor], prep: Preparation) -> Tensor:
    """Combine the head's logits and the forests' shares, (F, C).

    A row of a sample request may keep its own class; forgotten classes get probability 0.
    """
    gone = torch.zeros(prep.num_classes, dtype=torch.bool, device=head_FC.device)
    gone[list(prep.split.forget.classes)] = True
    known = [(shares + LEAST).masked_fill(gone, 0) for shares in forests]
    logs = [head_FC.masked_fill(gone, -torch.inf).log_softmax(1)]
    logs += [(shares / shares.sum(1, keepdim=True)).log() for shares in known]
    mean = torch.stack(logs).clamp_min(math.log(SMALLEST)).mean(0)
    return (SHARPNESS * mean).masked_fill(gone, -torch.inf).softmax(1)
