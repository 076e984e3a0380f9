"""Values that a user writes, as values of a column's type."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa


def bare_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values: of an encoded one that of the dictionary, of an extension its storage."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def to_scalar(value: object, kind: pa.DataType) -> pa.Scalar:
    """Convert a value to what a column of a type is compared with.

    Dates and times are texts in ISO 8601, e.g. ``2024-01-31`` and ``2024-01-31 12:00``; of a column with a time zone,
    a time without one is UTC.

    Args:
        value: Text, number or boolean.
        kind: Type of the column.

    Returns:
        The scalar; for a column of numbers a number of 64 bits.

    Raises:
        ValueError: The value is of another kind, or the type cannot be compared.
        pyarrow.ArrowException: The value is out of range.
        OverflowError: The value is out of range.
    """
    if pa.types.is_boolean(kind) or isinstance(value, bool):
        return pa.scalar(_of(bool, value, "true or false", kind, pa.types.is_boolean(kind)))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.scalar(_of(str, value, "a text in quotes", kind), kind)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        number = _of((int, float), value, "a number", kind)
        return pa.scalar(number, kind if kind == pa.uint64() and isinstance(number, int) and number >= 2**63 else None)
    if pa.types.is_decimal(kind):
        return pa.scalar(_decimal(_of((int, float, str), value, "a number", kind)))
    if pa.types.is_date(kind):
        text = str(_of(str, value, "a date in quotes, e.g. '2024-01-31'", kind))
        return pa.scalar(datetime.date.fromisoformat(text), kind)
    if pa.types.is_timestamp(kind):
        text = str(_of(str, value, "a time in quotes, e.g. '2024-01-31 12:00'", kind))
        return pa.scalar(_moment(text, kind), kind)
    if pa.types.is_time(kind):
        return pa.scalar(
            datetime.time.fromisoformat(str(_of(str, value, "a time in quotes, e.g. '12:00'", kind))), kind
        )
    raise ValueError(f"a column of {kind} has no order and no equality here; it can be tested with is null")


def _of(wanted: type | tuple[type, ...], value: object, what: str, kind: pa.DataType, fits: bool = True) -> object:
    if not isinstance(value, wanted) or (isinstance(value, bool) and not fits):
        raise ValueError(f"the column holds {kind}, so {what} must stand there")
    return value


def _decimal(value: object) -> decimal.Decimal:
    try:
        found = decimal.Decimal(str(value))
    except decimal.InvalidOperation as error:
        raise ValueError("a number must stand there") from error
    if not found.is_finite():
        raise ValueError("a finite number must stand there")
    return found


def _moment(text: str, kind: pa.DataType) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if kind.tz is None and moment.tzinfo is not None:
        raise ValueError("the column has no time zone, so the time must have none")
    return moment.replace(tzinfo=datetime.UTC) if kind.tz and moment.tzinfo is None else moment
