from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from pydantic import TypeAdapter, ValidationError

from cu_core.errors import ConfigError
from cu_core.validation import check_keys, one_line


@dataclass(frozen=True, kw_only=True)
class Part:
    width: int = 1


@dataclass(frozen=True, kw_only=True)
class Whole:
    part: Part = field(default_factory=Part)
    seed: int = 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": 1}, r"sed: unknown key; did you mean seed\?"),
        ({"zzz": 1}, r"zzz: unknown key; keys there: part, seed\."),
        ({"part": {"widht": 1}}, r"part\.widht: unknown key; did you mean part\.width\?"),
        ({"part": 3}, r"part: must hold keys and values, got 3\."),
    ],
)
def test_unknown_keys_are_named_with_the_nearest(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_keys(values, Whole, "")


def test_a_wrong_value_is_one_line_with_its_path() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Whole).validate_python({"part": {"width": "wide"}})
    expected = "width: Input should be a valid integer, unable to parse string as an integer, got 'wide'."
    assert one_line(caught.value) == f"part.{expected}"
    assert one_line(caught.value, {"part"}) == expected
