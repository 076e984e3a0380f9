"""From an exception to the one line a user reads."""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from ray.exceptions import RayTaskError

from cu_core.checkpoint import DamagedFile
from cu_core.config_io import ConfigError


def explain(error: BaseException) -> str | None:
    """One line, or None for what is not a user's mistake (its traceback is wanted)."""
    cause = root_cause(error)
    if isinstance(cause, MlflowException):
        return f"MLflow: {str(cause).splitlines()[0][:300]}"
    if isinstance(cause, OSError):
        where = f" ({cause.filename})" if cause.filename else ""
        return f"{cause.strerror or cause}{where}."
    if isinstance(cause, ConfigError | DamagedFile) or (isinstance(cause, ValueError) and from_this_project(cause)):
        return " ".join(str(cause).split())
    return None


def root_cause(error: BaseException) -> BaseException:
    """What a Ray task or a Ray Train worker raised."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        return root_cause(error.cause)
    failures = getattr(error, "worker_failures", None)
    if failures:
        return root_cause(next(iter(failures.values())))
    return error


def from_this_project(error: BaseException) -> bool:
    """Whether the innermost frame that raised it is ours; a ValueError from a library is a bug to be shown."""
    trace, module = error.__traceback__, ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    return module.startswith(("cu_core", "pipelines")) or error.__traceback__ is None
