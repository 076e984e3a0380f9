from __future__ import annotations

import errno

import pytest
from mlflow.exceptions import MlflowException
from ray.exceptions import RayTaskError

from cu_core.errors import ConfigError, DamagedFile, DataError, NonFiniteError, UserError
from pipelines.errors import explain, root_cause


@pytest.mark.parametrize("kind", [UserError, ConfigError, DataError, DamagedFile, NonFiniteError])
def test_a_users_mistake_is_one_line(kind: type[UserError]) -> None:
    assert explain(kind("seed:\n  must be  a number.")) == "seed: must be a number."


@pytest.mark.parametrize(
    "bug", [ValueError("shapes"), KeyError("x"), TypeError("y"), RuntimeError("z"), AssertionError()]
)
def test_a_bug_keeps_its_traceback_wherever_it_was_raised(bug: Exception) -> None:
    assert explain(bug) is None


def test_files_are_named_and_mlflow_speaks_in_one_line() -> None:
    assert explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv")) == (
        "No such file or directory (a.csv)."
    )
    assert explain(MlflowException("no run\nlong story")) == "MLflow: no run"


def test_the_cause_in_a_ray_task_decides() -> None:
    def failed(cause: Exception) -> RayTaskError:
        return RayTaskError("task", "traceback", cause)

    assert explain(failed(DataError("row 3."))) == "row 3."
    assert explain(failed(ValueError("bug"))) is None
    assert root_cause(failed(failed(DataError("row 3.")))).args == ("row 3.",)


def test_the_first_worker_that_failed_speaks_for_a_training() -> None:
    class TrainingFailed(RuntimeError):
        worker_failures = {1: DataError("row 5.")}  # noqa: RUF012

    assert explain(TrainingFailed()) == "row 5."
