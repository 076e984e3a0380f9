from __future__ import annotations

import json

import pytest

from cu_core.errors import ConfigError
from pipelines.cli.methods import FILE, described, show_methods


def test_the_file_is_that_of_the_code() -> None:
    """Else: python -m pipelines.cli.methods."""
    assert json.loads(FILE.read_text()) == described()


def test_a_name_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean scrub"):
        show_methods("scrubb")
