"""Damage to bytes, as a pure function of a generator."""

from __future__ import annotations

import numpy as np

EDGES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
"""Values at which lengths, sizes and counts go wrong."""


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, write edge values, cut, repeat or leave out a piece, or go on with another file."""
    kind = rng.integers(6)
    if kind == 0:
        return data[: rng.integers(len(data))]
    if kind == 1:
        return data[: rng.integers(len(data))] + other[rng.integers(len(other)) :]
    raw = bytearray(data)
    head = len(raw) if rng.random() < 0.5 else min(len(raw), 200)  # headers are a small part, and the worst
    if kind == 2:
        start, length = int(rng.integers(head)), int(rng.integers(1, 64))
        piece = raw[start : start + length]
        raw[start : start + length] = piece * int(rng.integers(0, 4))
        return bytes(raw)
    for _ in range(int(rng.integers(1, 9))):
        place = int(rng.integers(head))
        if kind == 3:
            edge = EDGES[rng.integers(len(EDGES))]
            raw[place : place + len(edge)] = edge
        else:
            raw[place] ^= 1 << int(rng.integers(8)) if kind == 4 else int(rng.integers(1, 256))
    return bytes(raw)
