from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cu_core.data.sample_ids import ContentIds, hashed_id, hashed_ids, id_texts, repeated, whole_numbers


def test_a_hash_is_the_first_63_bits_of_sha256() -> None:
    assert hashed_id("a") == int(hashlib.sha256(b"a").hexdigest()[:16], 16) // 2
    assert hashed_ids(["a", b"a"]).tolist() == [hashed_id("a")] * 2


def test_repeated_ids_over_arrays() -> None:
    assert repeated([np.array([3, 1]), np.array([1, 2, 2, 2])]).tolist() == [1, 2]
    assert repeated([]).tolist() == []


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["0", "-7", "12"], [0, -7, 12]),
        (["007"], None),
        (["1.0"], None),
        (["-0"], None),
        ([str(2**63 - 1)], [2**63 - 1]),
        ([str(2**63)], None),
        ([], []),
    ],
)
def test_whole_numbers_as_they_are_usually_written(texts: list[str], numbers: list[int] | None) -> None:
    found = whole_numbers(pa.array(texts, pa.string()))
    assert (None if found is None else found.tolist()) == numbers


def test_whole_floats_are_ids() -> None:
    assert id_texts(pa.array([1.0, None]), "x").to_pylist() == ["1", None]


@given(st.lists(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=6), max_size=6))
def test_content_ids_are_unique_and_depend_on_content_and_order_alone(parts: list[list[bytes]]) -> None:
    made, whole = ContentIds(), ContentIds()
    images = [image for part in parts for image in part]
    ids = [int(i) for part in parts for i in made.of(part)]
    assert ids == whole.of(images).tolist()
    assert len(set(ids)) == len(ids)
    assert made.num_repeated == len(images) - len(set(images))
    for image in set(images):
        assert ids[images.index(image)] == hashed_id(image)
