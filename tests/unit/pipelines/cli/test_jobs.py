"""What `cu submit` says before anything is sent."""

from __future__ import annotations

import pytest

from cu_core.errors import ConfigError
from pipelines.cli.jobs import _check

CONFIG = "tune_configs/base/digits_class.yaml"
ABSOLUTE = ["data.path=/shared/digits", "storage=/shared/outputs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "after -- comes the command"),
        (["methods"], "got 'methods'"),
        (["bench"], "after it comes one of step, scaling"),
        (["bench", CONFIG], "after it comes one of step, scaling"),
        (["bench", "scaling", "absent.yaml"], "no configuration file absent.yaml"),
        (["bench", "step", CONFIG], "give --root"),
        (["requests"], "after it comes one of open, add"),
        (["requests", "run"], "give --root"),
        (["unlearn", CONFIG, "method.temprature=1", *ABSOLUTE], "did you mean method.temperature"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _check(words, None)


def test_options_that_a_command_does_not_have() -> None:
    with pytest.raises(Exception, match="--nonsense"):  # click's, of which typer has a copy
        _check(["bench", "scaling", CONFIG, "--nonsense"], "s3://bucket")


@pytest.mark.parametrize("words", [["unlearn", CONFIG], ["bench", "scaling", CONFIG, "--steps", "2"]])
def test_places_that_all_machines_find(words: list[str]) -> None:
    _check([*words, *ABSOLUTE], None)
    _check(words, "s3://bucket")
