"""What `cu submit` says before anything is sent."""

from __future__ import annotations

import pytest
import typer

from cu_core.errors import ConfigError
from pipelines.cli.jobs import _check
from pipelines.cli.main import app
from tests.unit.pipelines.commands import Cu

CONFIG = "tune_configs/base/digits_class.yaml"
CU = typer.main.get_command(app)
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
        _check(words, None, CU)


def test_options_that_a_command_does_not_have() -> None:
    with pytest.raises(Exception, match="--nonsense"):  # click's, of which typer has a copy
        _check(["bench", "scaling", CONFIG, "--nonsense"], "s3://bucket", CU)


@pytest.mark.parametrize("words", [["unlearn", CONFIG], ["bench", "scaling", CONFIG, "--steps", "2"]])
def test_places_that_all_machines_find(words: list[str]) -> None:
    _check([*words, *ABSOLUTE], None, CU)
    _check(words, "s3://bucket", CU)


def test_submit_checks_the_words_as_cu_itself_reads_them(cu: Cu) -> None:
    there = ("submit", "--address", "http://127.0.0.1:9", "--root", "s3://bucket", "--dry-run", "--")
    ran = cu(*there, "bench", "nonsense")
    assert ran.status == 2
    assert "after it comes one of step, scaling" in ran.err
    assert "nothing was sent" in cu(*there, "unlearn", CONFIG).err
