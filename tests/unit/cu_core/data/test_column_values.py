from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest

from cu_core.data.column_values import bare_type, to_scalar


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, pa.uint8(), 3),
        (2**63, pa.uint64(), 2**63),
        (0.5, pa.float32(), 0.5),
        (3, pa.float64(), 3),
        ("a", pa.large_string(), "a"),
        (True, pa.bool_(), True),
        (1.1, pa.decimal128(5, 2), decimal.Decimal("1.1")),
        ("1.10", pa.decimal128(5, 2), decimal.Decimal("1.10")),
        ("2024-01-31", pa.date32(), datetime.date(2024, 1, 31)),
        ("2024-01-31 12:00", pa.timestamp("us"), datetime.datetime(2024, 1, 31, 12)),
        ("2024-01-31", pa.timestamp("s"), datetime.datetime(2024, 1, 31)),
        ("12:30", pa.time64("us"), datetime.time(12, 30)),
    ],
)
def test_a_value_becomes_one_of_the_columns_type(value: object, kind: pa.DataType, expected: object) -> None:
    assert to_scalar(value, kind).as_py() == expected


def test_a_time_without_a_zone_is_utc_where_the_column_has_one() -> None:
    kind = pa.timestamp("us", "Europe/Berlin")
    assert to_scalar("2024-01-31 12:00", kind) == to_scalar("2024-01-31 13:00+01:00", kind)
    with pytest.raises(ValueError, match="has no time zone"):
        to_scalar("2024-01-31 13:00+01:00", pa.timestamp("us"))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("3", pa.int64()),
        (True, pa.int64()),
        (1, pa.bool_()),
        (3, pa.string()),
        (b"a", pa.string()),
        (1j, pa.float64()),
        (..., pa.int64()),
        ("NaN", pa.decimal128(5, 2)),
        (20240131, pa.date32()),
        ("31.1.2024", pa.date32()),
        ("noon", pa.timestamp("us")),
        ("a", pa.list_(pa.string())),
        ("a", pa.binary()),
    ],
)
def test_what_does_not_fit_is_refused(value: object, kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_scalar(value, kind)


def test_encoded_columns_have_the_type_of_their_values() -> None:
    assert bare_type(pa.dictionary(pa.int8(), pa.string())) == pa.string()
    assert bare_type(pa.uuid()) == pa.binary(16)
    assert bare_type(pa.int8()) == pa.int8()
