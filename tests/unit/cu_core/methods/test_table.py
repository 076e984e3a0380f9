from __future__ import annotations

from dataclasses import is_dataclass

import pytest
from pydantic import TypeAdapter, ValidationError

from cu_core.methods.base import Method
from cu_core.methods.scrub import Scrub
from cu_core.methods.table import METHODS, MethodConfig


@pytest.mark.parametrize("name", METHODS)
def test_a_method_stands_under_its_own_name_in_a_file_of_that_name(name: str) -> None:
    method = METHODS[name]
    assert is_dataclass(method)
    assert issubclass(method, Method)
    assert method().name == name
    assert method.__module__ == f"cu_core.methods.{name}"
    assert method.source
    assert set(method.models) <= {"classifier", "image-text"}


def test_the_name_chooses_the_settings() -> None:
    read = TypeAdapter(MethodConfig).validate_python
    assert read({"name": "scrub", "alpha": 0.25}) == Scrub(alpha=0.25)
    for values in ({"name": "nothing"}, {"alpha": 0.25}):
        with pytest.raises(ValidationError):
            read(values)
