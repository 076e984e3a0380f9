"""Kinds of Arrow types that columns are told apart by."""

from __future__ import annotations

import pyarrow as pa


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether a column holds bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_texts(kind: pa.DataType) -> bool:
    """Return whether a column can hold captions: text or lists of text."""
    return is_text(kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind)


def is_image_struct(kind: pa.DataType) -> bool:
    """Return whether a type is Hugging Face's struct of an image: bytes, and perhaps a path."""
    if not pa.types.is_struct(kind):
        return False
    fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    return "bytes" in fields and is_bytes(fields["bytes"])


def is_path_struct(kind: pa.DataType) -> bool:
    """Return whether a type is that struct where no row has bytes, so that these have no type."""
    if not pa.types.is_struct(kind):
        return False
    fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    return fields.get("bytes") == pa.null() and is_text(fields.get("path", pa.null()))
