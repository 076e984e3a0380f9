"""Losses between images and captions in double loops, with gradients by hand. All rows have length one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests.golden.plain_losses import Array, log_sum_exp, softmax


class Pairs(NamedTuple):
    """A loss of images against captions, and its gradients."""

    loss: float
    images: Array
    texts: Array
    scale: float
    bias: float = 0.0


def one_direction(rows: Array, keys: Array, matches: Sequence[Sequence[int]], scale: float) -> Pairs:
    """Sum over rows of -(1 / matches) sum over its matches of log softmax of scaled cosines; ``matches`` may be []:
    the row then has no term."""
    loss, d_rows, d_keys, d_scale = 0.0, np.zeros_like(rows), np.zeros_like(keys), 0.0
    for i, row in enumerate(rows):
        if not matches[i]:
            continue
        cosine = [float(row @ key) for key in keys]
        scores = [scale * c for c in cosine]
        share = softmax(scores)
        for m, key in enumerate(keys):
            target = (m in matches[i]) / len(matches[i])
            loss += target * (log_sum_exp(scores) - scores[m])
            d = share[m] - target
            d_rows[i] += d * scale * key
            d_keys[m] += d * scale * row
            d_scale += d * cosine[m]
    return Pairs(loss, d_rows, d_keys, d_scale)


def sigmoid_pairs(rows: Array, keys: Array, matches: Sequence[Sequence[int]], scale: float, bias: float) -> Pairs:
    """Sum over all pairs of log(1 + exp(-z (t cosine + b))), z = 1 for matches, else -1."""
    loss, d_rows, d_keys, d_scale, d_bias = 0.0, np.zeros_like(rows), np.zeros_like(keys), 0.0, 0.0
    for i, row in enumerate(rows):
        for m, key in enumerate(keys):
            z, cosine = 1 if m in matches[i] else -1, float(row @ key)
            loss += math.log(1 + math.exp(-z * (scale * cosine + bias)))
            d = -z / (1 + math.exp(z * (scale * cosine + bias)))
            d_rows[i] += d * scale * key
            d_keys[m] += d * scale * row
            d_scale, d_bias = d_scale + d * cosine, d_bias + d
    return Pairs(loss, d_rows, d_keys, d_scale, d_bias)


def matching(own: Sequence[int], others: Sequence[int]) -> list[list[int]]:
    """For each caption the places of the same one."""
    return [[m for m, other in enumerate(others) if other == caption] for caption in own]


def both_directions(images: Array, texts: Array, captions: Sequence[int], scale: float) -> Pairs:
    """Mean over pairs of half of each direction."""
    matches, count = matching(captions, captions), len(images)
    there = one_direction(images, texts, matches, scale)
    back = one_direction(texts, images, matches, scale)
    values = (there.loss + back.loss, there.images + back.texts, there.texts + back.images, there.scale + back.scale)
    return Pairs(*(v / 2 / count for v in values))  # type: ignore[arg-type]
