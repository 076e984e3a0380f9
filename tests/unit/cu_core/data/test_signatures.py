from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.data.signatures import FLAT, HASHED, UNREADABLE, caption_vectors, sign_rows, whiten
from cu_core.errors import UserError
from tests.copies import changed, drawing, drawings, pack_files
from tests.pictures import encoded, grey_file


def bits(a: int, b: int) -> int:
    return int(np.bitwise_count(np.uint64(a) ^ np.uint64(b)))


def test_copies_have_hashes_alike_and_other_images_have_not(tmp_path: Path) -> None:
    copies = changed(drawing(0))
    data = pack_files(tmp_path / "data", {"train": [*drawings(2), *copies.values()]})
    rows = sign_rows(data, tmp_path).rows
    same = {kind: rows[2 + number] for number, kind in enumerate(copies)}
    assert same["exact"]["pixels"] == rows[0]["pixels"]
    assert [kind for kind in copies if same[kind]["pixels"] == rows[0]["pixels"]] == ["exact"]
    for kind in ("exact", "near resized", "near brightened", "near jpeg"):
        assert bits(same[kind]["hash"], rows[0]["hash"]) <= 4
        assert bits(same[kind]["mirrored"], rows[0]["hash"]) > 15
    assert bits(same["mirrored"]["hash"], rows[0]["mirrored"]) == 0
    assert bits(rows[0]["hash"], rows[1]["hash"]) > 15


def test_each_row_has_its_place_and_label(tmp_path: Path) -> None:
    data = pack_files(tmp_path / "data", {"train": drawings(3), "val": drawings(2, 3), "test": drawings(1, 5)})
    rows = sign_rows(data, tmp_path).rows
    assert rows["sample_id"].tolist() == [0, 1, 2, 3, 4, 5]
    assert rows["split"].tolist() == [0, 0, 0, 1, 1, 2]
    assert rows["row"].tolist() == [0, 1, 2, 0, 1, 0]
    assert rows["label"].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_of_one_colour_has_no_perceptual_hash(tmp_path: Path, value: int) -> None:
    data = pack_files(tmp_path / "data", {"train": [grey_file(value), *drawings(1)]})
    assert sign_rows(data, tmp_path).rows["state"].tolist() == [FLAT, HASHED]


def test_an_image_that_does_not_decode_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    seen = []

    def embed(split: Split, rows: np.ndarray) -> np.ndarray:
        seen.append((split, rows.tolist()))
        return np.ones((len(rows), 2), np.float32)

    data = pack_files(tmp_path / "data", {"train": [b"no image", *drawings(2)]})
    signed = sign_rows(data, tmp_path, embed=embed)
    assert signed.rows["state"].tolist() == [UNREADABLE, HASHED, HASHED]
    assert signed.count(UNREADABLE) == 1
    assert len(signed.problems) == 1
    assert signed.problems[0].startswith("shard train-00000.arrow, row 0: the image does not decode")
    assert seen == [("train", [1, 2])]
    assert signed.vectors["content"][0].tolist() == [0, 0]


def test_a_bounded_number_of_problems_is_kept(tmp_path: Path) -> None:
    data = pack_files(tmp_path / "data", {"train": [b"no image"] * 30})
    signed = sign_rows(data, tmp_path)
    assert signed.count(UNREADABLE) == 30
    assert len(signed.problems) == 5


def test_features_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    data = pack_files(tmp_path / "data", {"train": drawings(2)})
    with pytest.raises(UserError, match="the model gives features that are not finite numbers"):
        sign_rows(data, tmp_path, embed=lambda split, rows: np.full((len(rows), 2), np.nan, np.float32))


def test_the_same_pixels_in_another_shape_are_another_image(tmp_path: Path) -> None:
    wide, high = (encoded(drawing(0).resize((4, 4)).reduce(box), "png") for box in ((1, 2), (2, 1)))
    data = pack_files(tmp_path / "data", {"train": [wide, high]})
    first, second = sign_rows(data, tmp_path).rows["pixels"]
    assert first != second


def test_tensors_of_any_number_of_channels_are_hashed(reader: ShardReader, tmp_path: Path) -> None:
    signed = sign_rows(reader, tmp_path, splits=("val",))
    assert len(signed) == reader.num_rows("val")
    assert signed.count(HASHED) == len(signed)


def test_captions_are_compared_without_case_punctuation_and_accents_form(tmp_path: Path) -> None:
    texts = ["A café!", "a  CAFE\u0301", "a cafe", "!!"]
    data = pack_files(tmp_path / "data", {"train": drawings(4)}, captions=texts)
    found = sign_rows(data, tmp_path, captions=True)
    first, second, other, none = found.rows["caption"].tolist()
    assert first == second
    assert other not in (first, none)
    assert none == 0
    assert found.vectors["caption"].shape == (4, 1024)


def test_caption_vectors_of_like_texts_point_the_same_way() -> None:
    one, like, other = caption_vectors(["a red bus on a street", "a red bus in a street", "two cats asleep"])
    assert one @ one == pytest.approx(1)
    assert one @ like > 0.6
    assert one @ other < 0.3


def test_whitening_gives_all_directions_equal_spread(rng: np.random.Generator) -> None:
    raw = rng.normal(size=(400, 4)) * [10, 1, 1, 1] + [30, 0, 0, 0]
    raw[7] = 0
    vectors = (raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)).astype(np.float16)
    before = np.abs(vectors[:, 0]).mean()
    whiten(vectors)
    assert before > 0.9
    assert np.abs(vectors.astype(float)).mean(0).max() < 0.65
    assert vectors[7].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(np.delete(vectors, 7, 0).astype(float), axis=1), 1, atol=2e-3)


def test_few_rows_are_not_whitened() -> None:
    vectors = np.eye(4, dtype=np.float16)
    whiten(vectors)
    np.testing.assert_array_equal(vectors, np.eye(4))
