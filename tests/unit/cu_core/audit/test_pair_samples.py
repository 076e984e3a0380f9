from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cu_core.audit.pair_samples import SIDE, pair_columns
from tests.unit.cu_core.audit.test_retrieval import AXES, class_subject, sample_subject

EXACT = 1e-6


def columns(made: Any, names: tuple[str, ...]) -> dict[str, list[Any]]:
    places = {"forget": "forget_train", "test": "retain_test", "retain": "retain_train"}
    sets = {name: getattr(made, places.get(name, name)) for name in names}
    return {name: values.to_pylist() for name, values in pair_columns(made, sets).items()}


def test_cosines_and_places_by_hand() -> None:
    """Class 0 forgotten. Test images of classes 1, 1, 2, 3, and of class 0 one along its caption, one along class 1;
    one of class 2 at cosine .6 to it. Retained captions are 1, 1, 2, 3: the mean cosine is 1/2 along class 1."""
    made = class_subject({1: AXES[1], 4: 0.6 * AXES[0] + 0.8 * AXES[2]}, [0, 0, 1, 1, 2, 3])
    found = columns(made, ("retain", "test", "forget_test"))
    retain = len(made.retain_train)
    assert found["matched"][retain:] == pytest.approx([1, 1, 0.8, 1, 1, 0], abs=EXACT)
    assert found["unmatched"][retain:] == pytest.approx([0.5, 0.5, 0.2, 0.25, 0, 0.5], abs=EXACT)
    assert found["place"][:retain] == [None] * retain
    assert found["place"][retain + 4] == 1
    assert found["place"][retain + 2] == 2
    assert sorted(found["place"][retain:]) == [1, 2, 3, 4, 5, 6]
    assert [p is not None for p in found["picture"]] == [False] * retain + [True] * 6
    ids = [int(made.split.reader.sample_ids("test", row)) for row in (2, 3, 4, 5, 0, 1)]
    for number, data in zip(ids, found["picture"][retain:], strict=True):
        picture = np.asarray(Image.open(io.BytesIO(data)))
        assert picture.shape == (SIDE, SIDE)
        assert picture[0, -1] == number  # an image is the two bytes of its id


def test_samples_have_no_search() -> None:
    found = columns(sample_subject(), ("forget", "test"))
    assert set(found["place"]) == {None}
    assert set(found["picture"]) == {None}
    assert found["matched"] == pytest.approx([1] * len(found["matched"]), abs=EXACT)
