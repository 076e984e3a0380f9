"""The MLflow that a run is recorded in: a server that answers, or a SQLite file in the storage."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.secrets import MASK, masked
from cu_core.storage import address, names
from pipelines.console import console
from pipelines.probe import ask_http, connect, why_silent
from pipelines.tracking.sqlite_file import file_of, make_ready, reason, sqlite_uri

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's page then opens on runs, not on traces of language models."""
ABSENT = "RESOURCE_DOES_NOT_EXIST"
PRESENT = "RESOURCE_ALREADY_EXISTS"


def source_of(config: RunConfig) -> str:
    """What names the server: the setting, else the variable, else neither."""
    if config.tracking.uri:
        return "tracking.uri"
    return "MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else "storage"


def tracking_uri(config: RunConfig) -> str:
    """Configured server, else MLFLOW_TRACKING_URI, else SQLite in the storage folder.

    Raises: ConfigError if that is at an address, or the setting was stored without its password.
    """
    named, variable = config.tracking.uri, os.environ.get("MLFLOW_TRACKING_URI")
    if named and MASK in named:
        if not variable:
            raise ConfigError(
                f"tracking.uri: {named} was stored without its password; set MLFLOW_TRACKING_URI or tracking.uri."
            )
        named = variable
    if named or variable:
        return str(named or variable)
    if remote := address(config.store):
        raise ConfigError(
            f"storage: no SQLite file can lie at {remote}; name an MLflow server in tracking.uri or "
            f"MLFLOW_TRACKING_URI."
        )
    return sqlite_uri(config.store / "mlflow.db")


def open_client(config: RunConfig) -> MlflowClient:
    """The tracking server's client, its own chatter off; a SQLite file is made where there is none.

    Raises: ConfigError, within seconds, if the server does not answer or the file cannot be used.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = tracking_uri(config)
    if uri.startswith("sqlite"):
        if source_of(config) == "storage":
            config.store.mkdir(parents=True, exist_ok=True)
        if make_ready(file_of(uri), _artifacts(config)) and names(config.store / "runs"):
            console.print(
                f"{masked(uri)} was made anew: it lacks earlier runs, whose records are in {config.store / 'runs'}; "
                f"--resume brings an unfinished one.",
                highlight=False, markup=False,
            )  # fmt: skip
    else:
        _check_answers(uri, source_of(config))
    return MlflowClient(uri)


def _check_answers(uri: str, source: str) -> None:
    """Raises: ConfigError if nothing answers at the address of a server, whatever MLflow makes of it."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{source}: {masked(uri)} is no address ({error}).") from error
    if parts.scheme in ("http", "https"):
        found = why_silent(lambda: ask_http(uri))
    elif host and port:
        found = why_silent(lambda: connect(host, port))
    else:
        return
    if found:
        local = "unset it" if source == "MLFLOW_TRACKING_URI" else "leave it out"
        raise ConfigError(
            f"{source}: MLflow at {masked(uri)} cannot be used: {found}. Start the server; or {local}, and the run is "
            f"recorded in a file, mlflow.db of its storage."
        )


def _artifacts(config: RunConfig) -> str:
    return (config.store / "mlartifacts").resolve().as_uri()


@contextlib.contextmanager
def told(config: RunConfig) -> Iterator[None]:
    """What MLflow or its database raises is one line."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        where = f"{source_of(config)}: MLflow at {masked(tracking_uri(config))}"
        raise ConfigError(f"{where} cannot be used: {reason(error)}") from error


def page_command(config: RunConfig) -> str:
    uri = masked(tracking_uri(config))
    return f"mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite") else f"open {uri}"


def experiment_id(client: MlflowClient, config: RunConfig) -> str:
    """Its id; it is made where there is none, unless another run has just made it."""
    name = config.tracking.experiment
    artifacts = _artifacts(config) if tracking_uri(config).startswith("sqlite") else None
    found = client.get_experiment_by_name(name)
    try:
        number = found.experiment_id if found else client.create_experiment(name, artifacts, tags=KIND)
    except MlflowException:
        if (found := client.get_experiment_by_name(name)) is None:
            raise
        number = found.experiment_id
    return str(number)


def use_server(uri: str) -> None:
    """Tell MLflow's own functions where to write. MLflow exports the address to the environment too, where later runs
    of this process, with another storage, would take it for the user's wish."""
    wish = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if wish is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
