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
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from cu_core.files import file_sha256
from cu_core.run import import_original
from cu_core.storage import fetched, place
from cu_core.stored import damaged
from pipelines.run.folder import RECORD, RunFolder, names_in
from pipelines.run.plan import Plan, Recorded, absolute, is_mlflow
from pipelines.tracking import mlflow_runs as tracking
from pipelines.tracking.server import open_client, tracking_uri


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
    if (folder := _made_in(own, model)) is not None:
        return load_config(_whole(folder), overrides, record=True)
    if not Path(model).exists():
        raise ConfigError(_unknown(own, model))
    raise ConfigError(
        f"{model} has no config.yaml beside it; say with --config which data, request and original belong to it."
    )


def _made_in(config: RunConfig, model: str) -> Path | None:
    """The folder of the run that made a model; ``None`` if it is not at hand."""
    folders = [config.store / "runs" / model, Path(model), *list(Path(model).parents)[:2]]
    return next((folder for folder in folders if fetched(folder / "config.yaml")), None)


def _whole(folder: Path) -> Path:
    """``config.yaml`` of a run, which is what the run wrote; a truncated one would be read as one with defaults.

    Raises: DamagedFile.
    """
    file = folder / "config.yaml"
    written = RunFolder(folder).record().get("config_sha256") if fetched(folder / RECORD) else None
    if written is not None and file_sha256(file) != written:
        reason = f"it is not as the run wrote it: its sha256 differs from config_sha256 of {RECORD}"
        raise damaged(file, reason, "take it from a copy, or give a configuration with --config")
    return file


def _run_folder(config: RunConfig, model: str) -> Path | None:
    """The folder of the MLflow run that made a model; ``None`` if it is not at hand."""
    tags = open_client(config).get_run(tracking.run_of_model(config, model)).data.tags
    folder = place(tags["run_folder"]) if "run_folder" in tags else None
    return folder if folder is not None and fetched(folder / "config.yaml") else None


def recorded_of(config: RunConfig, model: str) -> Recorded | None:
    """What the run of a model began from, if it is audited for that request on these data.

    The request is not resolved again: a list of ids may have been changed since, and that of a batch of requests is
    more than its configuration says.

    Returns ``None`` for another request or other data than the run's, and where no record says.

    Raises: ConfigError if the data hold other rows than when the run was made.
    """
    folder = _run_folder(config, model) if is_mlflow(model) else _made_in(config, model)
    if folder is None or not fetched(folder / RECORD):
        return None
    made, record = load_config(_whole(folder), record=True), RunFolder(folder).record()
    if (made.request, made.data) != (config.request, config.data) or "request_digest" not in record:
        return None
    digest = ShardReader(config.data.path, half=config.data.half).manifest.digest
    if digest != record["data_digest"]:
        raise ConfigError(
            f"{model} was made with data of digest {record['data_digest']}; {config.data.path} has {digest} now, "
            f"after rows were dropped or others packed. Its rows are not there; to audit it, name a copy of "
            f"those data: data.path=COPY."
        )
    file = config.store / "requests" / str(record["request_digest"]) / "forget.arrow"
    same = made.original_key(digest) == config.original_key(digest)
    return Recorded(file, config.store / "models" / record["original"] if same else None)


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
        return Path(download_artifacts(run_id=run_id, artifact_path="config.yaml", tracking_uri=tracking_uri(own)))
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
