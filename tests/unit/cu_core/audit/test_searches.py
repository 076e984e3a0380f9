"""Searches on planted features: an image lies along its class's caption, four orthogonal directions."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from cu_core.audit.searches import SCHEMA, TOP, search_rows
from tests.unit.cu_core.audit.test_retrieval import AXES, NAMES, class_subject, sample_subject


def rows(made: Any) -> list[dict[str, Any]]:
    table = search_rows("original", made)
    assert table.schema == SCHEMA
    return table.to_pylist()


def test_a_caption_finds_images_and_its_image_finds_captions() -> None:
    """Class 0 forgotten; of two images of it, the second lies along class 1."""
    found = rows(class_subject({1: AXES[1]}, [0, 0, 1, 2, 3]))
    forgotten = [row for row in found if row["search"] == "forgotten"]
    assert {row["query"] for row in forgotten} == {"zero"}
    images = [row for row in forgotten if row["finds"] == "images"]
    assert [row["rank"] for row in images] == [1, 2, 3, 4, 5]
    assert (images[0]["answer"], images[0]["hit"]) == ("zero", True)
    captions = [row["answer"] for row in forgotten if row["finds"] == "captions"]
    assert captions[0] == "zero"
    assert sorted(captions) == sorted(NAMES)
    assert all(row["thumb"] is None for row in found if row["finds"] == "captions")
    assert np.asarray(Image.open(io.BytesIO(images[0]["thumb"]))).ndim == 2


def test_neighbours_share_a_caption_or_a_word_with_what_is_forgotten_and_the_model_does_not_choose_them() -> None:
    made, other = class_subject({}, [0, 1, 2, 3]), class_subject({0: AXES[3], 1: AXES[0]}, [0, 1, 2, 3])
    for subject in (made, other):
        for number, texts in subject.split.reader._captions.items():  # type: ignore[attr-defined]
            subject.split.reader._captions[number] = [*texts, "a companion"] if texts[0] in ("zero", "two") else texts  # type: ignore[attr-defined]
    asked = [{(row["search"], row["query"]) for row in rows(subject)} for subject in (made, other)]
    assert asked[0] == asked[1]
    assert asked[0] == {("forgotten", "zero"), ("neighbouring", "two"), ("retained", "one"), ("retained", "three")}


def test_sample_requests_search_for_forget_rows() -> None:
    found = rows(sample_subject())
    assert {row["search"] for row in found} >= {"forgotten"}
    assert len([row for row in found if row["finds"] == "images" and row["rank"] > TOP]) == 0
