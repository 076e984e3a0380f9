"""What `cu submit` says before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray._private.runtime_env import packaging

from cu_core.errors import ConfigError
from pipelines.cli.jobs import _check
from pipelines.cluster.jobs import LEFT_OUT

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


def test_a_job_is_sent_the_whole_package_and_no_data(tmp_path: Path) -> None:
    """As Ray itself walks the folder."""
    for file in ("cu_core/data/loader.py", "pipelines/cli/main.py", "data/digits/a.arrow", "outputs/mlflow.db",
                 "build/x", "shared/data/a", "cu_core/__pycache__/x.pyc", ".git/HEAD", ".venv/x"):  # fmt: skip
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    sent: list[Path] = []
    packaging._dir_travel(tmp_path, [packaging._get_excludes(tmp_path, list(LEFT_OUT))], sent.append, True)
    files = {str(p.relative_to(tmp_path)) for p in sent if p.is_file()}
    assert files == {"cu_core/data/loader.py", "pipelines/cli/main.py"}
