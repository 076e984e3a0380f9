"""MLflow: one run per job, written by rank 0 only, with native client calls."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo
from mlflow.tracking import MlflowClient

from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.data.schema import Manifest
from cu_core.errors import ConfigError
from cu_core.models.classifier import Classifier, Predictor
from cu_core.secrets import masked
from cu_core.storage import fetch, place, shown
from pipelines.console import console
from pipelines.tracking.server import (
    ABSENT,
    PRESENT,
    experiment_id,
    open_client,
    source_of,
    told,
    tracking_uri,
    use_server,
)
from pipelines.tracking.sqlite_file import reason
from pipelines.tracking.step_log import impatient

PIP = ["torch", "torchvision"]


def check_tracking(config: RunConfig, registers: bool = True) -> None:
    """See that MLflow answers, and takes the names of experiment and model, before anything is begun.

    Raises: ConfigError.
    """
    uri = tracking_uri(config)
    if masked(uri) != uri and not uri.startswith("sqlite"):
        console.print(
            f"{source_of(config)} holds a password, which is not stored; better set MLFLOW_TRACKING_USERNAME and "
            f"MLFLOW_TRACKING_PASSWORD.",
            highlight=False, markup=False,
        )  # fmt: skip
    with told(config), impatient():
        client = open_client(config)
        experiment_id(client, config)
        name = model_name(config)
        if registers:
            try:
                client.get_registered_model(name)
            except MlflowException as error:
                if error.error_code != ABSENT:
                    raise ConfigError(f"tracking.registry_name: MLflow refuses {name!r}: {reason(error)}") from error


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted parameters."""
    out: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = str(value)[:500]
    return out


def git_commit() -> str:
    if shutil.which("git") is None:
        return "no git"
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return found.stdout.strip() if found.returncode == 0 else "not a git checkout"


def start_run(config: RunConfig, settings: dict[str, Any], tags: dict[str, str], run_id: str | None) -> str:
    """Create the run, or continue the one of that id; returns its id. Where MLflow has no such run (its database was
    lost, or the run deleted), another is made, which gets the record from the run's folder.

    Raises: ConfigError if the server does not answer.
    """
    with told(config):
        client = open_client(config)
        if run_id is not None and _is_there(client, run_id):
            client.update_run(run_id, "RUNNING")
            return run_id
        if run_id is not None:
            console.print(f"MLflow has no run {run_id} any more: a new one is recorded", highlight=False)
        number = experiment_id(client, config)
        run = client.create_run(number, run_name=config.name, tags=tags | {"git_commit": git_commit()})
        client.log_batch(run.info.run_id, params=[Param(k, v) for k, v in flat(settings).items()])
        return str(run.info.run_id)


def _is_there(client: MlflowClient, run_id: str) -> bool:
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return False


def log_data(config: RunConfig, run_id: str, manifest: Manifest) -> None:
    with warnings.catch_warnings():
        # MLflow registers its source of local folders twice and then warns of the choice between the two.
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted in multiple ways")
        folder = place(config.data.path)
        source = resolve_dataset_source(shown(folder))
    dataset = MetaDataset(source, name=manifest.name, digest=manifest.digest)
    entity = dataset._to_mlflow_entity()
    MlflowClient(tracking_uri(config)).log_inputs(run_id, [DatasetInput(dataset=entity, tags=[])])


def log_figures(config: RunConfig, run_id: str, values: dict[str, float], tags: dict[str, str]) -> None:
    client = MlflowClient(tracking_uri(config))
    now = int(time.time() * 1000)
    client.log_batch(run_id, metrics=[Metric(k, v, now, 0) for k, v in values.items()])
    for key, value in tags.items():
        client.set_tag(run_id, key, value[:4000])


def log_files(config: RunConfig, run_id: str, folder: Path, names: list[str]) -> None:
    client = MlflowClient(tracking_uri(config))
    for name in names:
        fetch(folder / name)  # another machine may have written it
        client.log_artifact(run_id, str(folder / name))


def end_run(config: RunConfig, run_id: str, status: str) -> None:
    """Mark the run as ended.

    Raises: ConfigError if the server does not answer.
    """
    with told(config):
        open_client(config).set_terminated(run_id, status)


def run_of_model(config: RunConfig, uri: str) -> str:
    """Id of the run that made the model of ``runs:/ID/...`` or ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises: MlflowException if there is none.
    """
    if uri.startswith("runs:/"):
        return uri.removeprefix("runs:/").split("/")[0]
    client, name = open_client(config), uri.removeprefix("models:/")
    if "@" in name:
        version = client.get_model_version_by_alias(*name.split("@", 1))
    elif "/" in name:
        version = client.get_model_version(*name.split("/", 1))
    else:
        raise MlflowException(f"{uri} must have the form models:/NAME@ALIAS or models:/NAME/VERSION")
    return str(version.run_id)


def model_name(config: RunConfig) -> str:
    """Name of the registered model."""
    data = re.sub(r"[/:'\"]", "-", Path(config.data.path).name)
    return config.tracking.registry_name or f"{data}-{_plain(config)}"


def _plain(config: RunConfig) -> str:
    """The model's name without what a registry does not take: colons, and paths of models that lie in files."""
    prefix, _, rest = config.model.name.partition(":")
    in_files = config.model.reads_captions or config.model.library == "transformers"
    return f"{prefix}.{Path(rest).stem}" if in_files else config.model.name.replace(":", ".")


def register(
    config: RunConfig,
    run_id: str,
    role: str,
    folder: Path,
    load: Callable[[Path], Classifier],
    example_shape: tuple[int, ...],
    tags: dict[str, str],
) -> str:
    """Log the model as a portable program (uint8-valued images in, logits out), register it and move the alias
    ``role`` to it; weights that are registered already are not logged again. Returns the version."""
    uri = tracking_uri(config)
    client = MlflowClient(uri)
    name = model_name(config)
    digest = read_meta(folder, verify=False)["files"]["model.safetensors"]
    versions = client.search_model_versions(f"name='{name}' and tag.weights='{digest}' and tag.role='{role}'")
    if versions:
        version = str(versions[0].version)
    else:
        use_server(uri)
        info = _log_model(run_id, role, folder, load(folder), example_shape)
        try:
            client.create_registered_model(name)
        except MlflowException as error:  # it is there, maybe since a moment ago
            if error.error_code != PRESENT:
                raise
        made = client.create_model_version(
            name, info.model_uri, run_id, tags={"weights": digest, "role": role}, model_id=info.model_id
        )
        version = str(made.version)
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.set_registered_model_alias(name, role, version)
    return f"models:/{name}@{role}"


def point_alias(config: RunConfig, alias: str, weights: str | None) -> str | None:
    """Let an alias of the registered model name the version with these weights; with ``None``, or where there is no
    such version, it names none. Returns the version."""
    name = model_name(config)
    with told(config):
        client = open_client(config)
        found = client.search_model_versions(f"name='{name}' and tag.weights='{weights}'") if weights else []
        if found:
            version = str(max(int(one.version) for one in found))
            client.set_registered_model_alias(name, alias, version)
            return version
        try:
            client.delete_registered_model_alias(name, alias)
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
        return None


def aliased_weights(config: RunConfig) -> dict[str, tuple[str, str]]:
    """Aliases of the registered model -> version and checksum of its weights; empty if there is no such model.

    Raises: ConfigError if MLflow does not answer.
    """
    name = model_name(config)
    with told(config):
        client = open_client(config)
        try:
            aliases = client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
            return {}
        found = {alias: client.get_model_version(name, version) for alias, version in aliases.items()}
    return {alias: (str(one.version), one.tags.get("weights", "")) for alias, one in found.items()}


def _log_model(run_id: str, role: str, folder: Path, model: Classifier, example_shape: tuple[int, ...]) -> ModelInfo:
    """The program, with the weights of ``folder`` beside it: those `model.weights=models:/...` reads."""
    example = np.zeros((2, *example_shape), np.float32)
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        # torch.export of weights whose memory format is channels-last; the archive holds them whole (tested).
        warnings.filterwarnings("ignore", message="No complete tensor found in the group")
        return mlflow.pytorch.log_model(
            Predictor(model).float().eval(),
            name=role,
            input_example=example,
            pip_requirements=PIP,
            extra_files=[str(folder / "model.safetensors")],
        )
