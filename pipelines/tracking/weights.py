"""Weights that an MLflow URI names, as a file of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.files import atomic_file, file_sha256
from cu_core.storage import fetched
from pipelines.tracking.server import open_client, tracking_uri, use_server


def fetch_weights(config: RunConfig, uri: str) -> Path:
    """The one .safetensors file that a model URI holds.

    Raises: ConfigError where it cannot be fetched or holds none or several.
    """
    try:
        open_client(config)
        use_server(tracking_uri(config))
        found = Path(download_artifacts(artifact_uri=uri))
    except MlflowException as error:
        raise ConfigError(f"model.weights: {uri} cannot be fetched: {str(error).splitlines()[0]}") from error
    files = sorted(found.rglob("*.safetensors")) if found.is_dir() else [found]
    if len(files) != 1:
        raise ConfigError(
            f"model.weights: {uri} must hold one .safetensors file, it holds {len(files)}; "
            f"models that `cu` registered hold it."
        )
    return _kept(files[0], config.store)


def _kept(file: Path, store: Path) -> Path:
    """A download under a name that it has again next time, as results depend on it."""
    if store in file.parents:
        return file
    kept = store / "downloads" / f"{file_sha256(file)[:16]}.safetensors"
    if not fetched(kept):
        with atomic_file(kept) as partial:
            shutil.copyfile(file, partial)
    return kept
