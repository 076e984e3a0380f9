from __future__ import annotations

import pyarrow as pa

from cu_core.data.arrow_types import is_bytes, is_image_struct, is_list, is_text, is_texts


def test_kinds_of_types() -> None:
    assert [is_text(k) for k in (pa.string(), pa.large_string(), pa.binary(), pa.int8())] == [True, True, False, False]
    assert [is_bytes(k) for k in (pa.binary(), pa.large_binary(), pa.string())] == [True, True, False]
    assert all(is_list(k) for k in (pa.list_(pa.int8()), pa.large_list(pa.int8()), pa.list_(pa.int8(), 2)))
    assert [is_texts(k) for k in (pa.string(), pa.list_(pa.string()), pa.list_(pa.int8()))] == [True, True, False]
    for fields, found in (
        ([("bytes", pa.binary())], True),
        ([("bytes", pa.string())], False),
        ([("path", pa.string())], False),
    ):
        assert is_image_struct(pa.struct(fields)) == found
    assert not is_image_struct(pa.binary())
