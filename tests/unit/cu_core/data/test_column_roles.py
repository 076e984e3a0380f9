from __future__ import annotations

import pyarrow as pa
import pytest

from cu_core.data.column_roles import class_label_names, find_roles
from cu_core.errors import DataError


def schema(*names: str) -> pa.Schema:
    return pa.schema([(name, pa.binary() if name == "image" else pa.string()) for name in names])


def test_usual_names_have_a_role_and_are_noted() -> None:
    roles = find_roles(schema("IMG", "TEXT", "user"), {}, "x")
    assert (roles.image, roles.caption, roles.label, roles.sample_id) == ("IMG", "TEXT", None, None)
    assert roles.notes == {"read as image, column 'IMG'": 1, "read as caption, column 'TEXT'": 1}
    assert dict(roles.extra) == {"user": "user"}


def test_a_text_beside_labels_stays_under_its_name() -> None:
    roles = find_roles(schema("image", "label", "text"), {}, "x")
    assert (roles.label, roles.caption, dict(roles.extra)) == ("label", None, {"text": "text"})
    assert find_roles(schema("image", "label", "text"), {"caption": "text"}, "x").caption == "text"


def test_an_image_struct_of_any_name_is_the_image() -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert find_roles(pa.schema([("photo", struct), ("label", pa.int64())]), {}, "x").image == "photo"


def test_columns_that_are_missing_are_named() -> None:
    with pytest.raises(DataError, match="no column 'image'; columns there: a, label"):
        find_roles(schema("a", "label"), {}, "x")
    with pytest.raises(DataError, match="no column 'label or caption'"):
        find_roles(schema("image", "user"), {}, "x")


def test_names_of_a_class_label_must_be_texts_that_differ() -> None:
    for names, found in ((b'["a", "b"]', ["a", "b"]), (b'["a", "a"]', None), (b"[1]", None), (b'{"0": "a"}', None)):
        metadata = {b"huggingface": b'{"info": {"features": {"label": {"names": ' + names + b"}}}}"}
        assert class_label_names(schema("label").with_metadata(metadata), "label") == found
