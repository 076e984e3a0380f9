"""The line that a user reads for an exception."""

from __future__ import annotations

import sys
from typing import Any

from cu_core.errors import UserError
from cu_core.full_disk import is_full, path_of
from cu_core.secrets import masked


def explain(error: BaseException) -> str | None:
    """Return one line, or None if the error is not a user's mistake and needs its traceback."""
    cause = root_cause(error)
    if is_full(cause) or is_full(error):
        where = path_of(cause) or path_of(error) or first_line(cause)
        return masked(
            f"the disk is full: {where} could not be written. What was finished before is kept, nothing is half "
            f"written; make room and go on: a run or sweep with --resume and its name, other commands as they were."
        )
    if isinstance(cause, UserError):
        return masked(" ".join(str(cause).split()))
    if isinstance(cause, OSError):
        where = f" ({cause.filename})" if cause.filename else ""
        return masked(f"{cause.strerror or cause}{where}.")
    if isinstance(cause, _loaded("mlflow.exceptions", "MlflowException")):
        return masked(f"MLflow: {str(cause).splitlines()[0][:300]}")
    return None


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]


def _loaded(module: str, name: str) -> Any:
    """Return a class of a library if it is imported. Otherwise it raised nothing, and the result matches no class."""
    return getattr(sys.modules[module], name) if module in sys.modules else ()


def root_cause(error: BaseException) -> BaseException:
    """Return the exception that a Ray task or a Ray Train worker raised."""
    if isinstance(error, _loaded("ray.exceptions", "RayTaskError")) and isinstance(error.cause, BaseException):
        return root_cause(error.cause)
    failures = getattr(error, "worker_failures", None)
    if failures:
        return root_cause(next(iter(failures.values())))
    return error
