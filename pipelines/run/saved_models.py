"""A model that was saved before: by a run, a folder, a weights file or the MLflow registry; and how it was made."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from cu_core.config import RunConfig
from cu_core.config_io import load_config
from cu_core.errors import ConfigError
from cu_core.run import import_original
from cu_core.storage import fetched
from pipelines.run.folder import RECORD, names_in
from pipelines.run.plan import Plan, absolute, is_mlflow
from pipelines.tracking import mlflow_runs as tracking


def config_of(model: str, file: Path | None, overrides: Sequence[str]) -> RunConfig:
    """The configuration to audit under: ``file``, or the one with which the model was made.

    Raises: ConfigError where a foreign model comes without a file.
    """
    if file is not None:
        return load_config(file, overrides)
    own = load_config(None, [o for o in overrides if o.startswith(("storage=", "tracking."))])
    if is_mlflow(model):
        return load_config(_config_in_mlflow(own, model), overrides, record=True)
    if model.endswith((".yaml", ".yml")):
        raise ConfigError(f"{model} is a configuration, not a model: cu audit MODEL --config {model}.")
    for folder in [own.store / "runs" / model, Path(model), *list(Path(model).parents)[:2]]:
        if fetched(folder / "config.yaml"):
            return load_config(folder / "config.yaml", overrides, record=True)
    if not Path(model).exists():
        raise ConfigError(_unknown(own, model))
    raise ConfigError(
        f"{model} has no config.yaml beside it; say with --config which data, request and original belong to it."
    )


def _unknown(config: RunConfig, model: str) -> str:
    runs = config.store / "runs"
    known = sorted(p.name for p in runs.iterdir()) if runs.is_dir() else []
    near = difflib.get_close_matches(model, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"runs there: {names_in(runs)}."
    return f"{model}: no run of that name in {runs}, no folder and no file; {hint}"


def _config_in_mlflow(own: RunConfig, model: str) -> Path:
    """``config.yaml`` of the MLflow run that made the model."""
    try:
        run_id = tracking.run_of_model(own, model)
        return Path(
            download_artifacts(run_id=run_id, artifact_path="config.yaml", tracking_uri=tracking.tracking_uri(own))
        )
    except MlflowException as error:
        raise ConfigError(
            f"{model}: no configuration can be fetched ({str(error).splitlines()[0]}); give one with --config."
        ) from error


def find_model(plan: Plan, model: str) -> Path:
    """A run's name or a model folder as it is; a weights file or MLflow URI is taken into the store first."""
    run = plan.config.store / "runs" / model / "unlearned"
    for folder in (run, Path(model), Path(model) / "unlearned"):
        if fetched(folder / "meta.json"):
            return folder.resolve()
    for folder in (run.parent, Path(model)):
        if fetched(folder / RECORD):
            raise ConfigError(
                f"{model}: that run has not made a model; cu unlearn goes on with --resume {folder.name}."
            )
    if not Path(model).exists() and not is_mlflow(model):
        raise ConfigError(_unknown(plan.config, model))
    config = absolute(replace(plan.config, model=replace(plan.config.model, weights=model)))
    folder = config.store / "models" / config.original_key(plan.manifest.digest)
    if not fetched(folder / "meta.json"):
        import_original(plan.workspace.with_config(config), folder)
    return folder
