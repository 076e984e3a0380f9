from __future__ import annotations

from cu_core.salts import Salt


def test_no_two_salts_are_alike() -> None:
    assert len({salt.value for salt in Salt}) == len(Salt.__members__)
