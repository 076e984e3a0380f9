"""One caption of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cu_core.data.order import hash64
from cu_core.data.texts import caption_tokens, load_batch
from tests.unit.cu_core.planted import FIRST_ID, PlantedReader, ids_of

COUNTS = [1, 3, 2, 4]
"""Captions of each row; the k-th of the row with the sample_id i is ``i k``."""


def tokenize(texts: Sequence[str]) -> Tensor:
    return torch.tensor([[int(t) for t in (text or "0 0").split()] for text in texts])


@pytest.fixture
def pairs() -> Any:
    captions = {FIRST_ID + row: [f"{FIRST_ID + row} {k}" for k in range(count)] for row, count in enumerate(COUNTS)}
    return PlantedReader(captions, train=[1, 0, 2, 1])


def test_without_keys_it_is_the_first(pairs: Any) -> None:
    found = caption_tokens(pairs, "train", np.array([2, 0, 1]), tokenize)
    assert found.tolist() == [[FIRST_ID + row, 0] for row in (2, 0, 1)]


@pytest.mark.parametrize("keys", [(0,), (5,), (5, 1)])
def test_keys_choose_by_the_hash_of_the_id(pairs: Any, keys: tuple[int, ...]) -> None:
    rows = np.array([3, 1, 0, 2])
    found = caption_tokens(pairs, "train", rows, tokenize, *keys)
    drawn = [int(hash64(np.array([FIRST_ID + row]), *keys)[0]) % COUNTS[row] for row in rows.tolist()]
    assert found.tolist() == [[FIRST_ID + row, k] for row, k in zip(rows.tolist(), drawn, strict=True)]


def test_other_keys_draw_other_captions_and_every_one_sooner_or_later(pairs: Any) -> None:
    drawn = [caption_tokens(pairs, "train", np.array([3]), tokenize, key)[0, 1].item() for key in range(60)]
    assert set(drawn) == {0, 1, 2, 3}


def test_no_rows_have_the_length_of_captions(pairs: Any) -> None:
    found = caption_tokens(pairs, "train", np.empty(0, np.int64), tokenize)
    assert found.shape == (0, 2)


def test_a_batch_has_the_rows_as_they_are_stored(pairs: Any) -> None:
    rows = np.array([2, 0])
    plain = load_batch(pairs, "train", rows, None)
    assert plain.tokens is None
    assert ids_of(plain.images).tolist() == plain.sample_ids.tolist() == [FIRST_ID + 2, FIRST_ID]
    assert plain.labels.tolist() == [2, 1]
    tokens = load_batch(pairs, "train", rows, tokenize, 5).tokens
    assert tokens is not None
    assert torch.equal(tokens, caption_tokens(pairs, "train", rows, tokenize, 5))
