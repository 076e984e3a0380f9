from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from cu_core.config_io import config_from
from cu_core.data.copies_setting import CopiesSetting
from cu_core.data.requests import ForgetRequest
from cu_core.errors import ConfigError

KINDS = get_args(get_args(ForgetRequest)[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.kind))
def test_every_kind_of_request_has_the_setting_and_ignores_copies_by_default(kind: type) -> None:
    assert issubclass(kind, CopiesSetting)
    (setting,) = (field for field in dataclasses.fields(kind) if field.name == "duplicates")
    assert setting.default == "ignore"


def test_the_setting_is_read_from_a_configuration() -> None:
    assert config_from({"request": {"duplicates": "include"}}).request.duplicates == "include"
    with pytest.raises(ConfigError, match=r"request.duplicates: Input should be 'ignore', 'report' or 'include'"):
        config_from({"request": {"duplicates": "forget"}})
