"""Losses written out row by row from their definitions, each with its gradient; nothing of cu_core is used.

N rows, C classes. Every function returns (mean over rows, gradient of that mean).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_sum_exp(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(v - largest) for v in values))


def softmax(values: Sequence[float]) -> Array:
    total = log_sum_exp(values)
    return np.array([math.exp(v - total) for v in values])


def cross_entropy(logits_NC: Array, labels_N: Sequence[int]) -> tuple[float, Array]:
    """-log p(label)."""
    targets = np.zeros_like(logits_NC)
    for row, label in enumerate(labels_N):
        targets[row, label] = 1
    return soft_cross_entropy(logits_NC, targets)


def soft_cross_entropy(logits_NC: Array, targets_NC: Array) -> tuple[float, Array]:
    """- sum_c q_c log p_c; q need not sum to one."""
    count, total, gradient = len(logits_NC), 0.0, np.zeros_like(logits_NC)
    for row, (logits, target) in enumerate(zip(logits_NC, targets_NC, strict=True)):
        normaliser = log_sum_exp(list(logits))
        total += sum(q * (normaliser - z) for q, z in zip(target, logits, strict=True))
        gradient[row] = (target.sum() * softmax(list(logits)) - target) / count
    return total / count, gradient


def kl(student_NC: Array, teacher_NC: Array, temperature: float) -> tuple[float, Array]:
    """T^2 sum_c p_c (log p_c - log q_c), p the teacher's and q the student's softened answer (Hinton et al. 2015)."""
    count, total, gradient = len(student_NC), 0.0, np.zeros_like(student_NC)
    for row in range(count):
        p, q = softmax(list(teacher_NC[row] / temperature)), softmax(list(student_NC[row] / temperature))
        total += temperature**2 * sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
        gradient[row] = temperature * (q - p) / count
    return total / count, gradient


def unit_rows(rows: Array) -> Array:
    return np.stack([row / math.sqrt(sum(x * x for x in row)) for row in rows])


def through_unit(rows: Array, gradient: Array) -> Array:
    """Gradient with respect to ``rows`` from that with respect to ``unit_rows(rows)``: (I - u u^T) g / |row|."""
    out = np.zeros_like(rows)
    for n, (row, g) in enumerate(zip(rows, gradient, strict=True)):
        size = math.sqrt(sum(x * x for x in row))
        unit = row / size
        out[n] = (g - unit * float(g @ unit)) / size
    return out


def hash_of(value: int, *keys: int) -> int:
    """SplitMix64 finaliser after each key (Steele et al. 2014), on Python's integers."""
    x, golden = value, 0x9E3779B97F4A7C15
    for key in (0, *keys):
        x = (x + key * golden + golden) % 2**64
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        x ^= x >> 31
    return x
