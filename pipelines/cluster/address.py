"""A Ray cluster as its users describe it: the address of its dashboard, its token, its folders. Imports no Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cu_core.errors import ConfigError
from cu_core.validation import check_keys, one_line
from cu_core.yaml_io import read_yaml

FILE = Path("cluster.yaml")


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """A cluster, as ``cluster.yaml`` describes it. The environment has precedence over the file, options over both."""

    address: str | None = None
    """Address of the dashboard, e.g. http://127.0.0.1:8265; RAY_API_SERVER_ADDRESS."""
    token_file: Path | None = None
    """File with the cluster's token; RAY_AUTH_TOKEN_PATH, or the token itself in RAY_AUTH_TOKEN."""
    root: str | None = None
    """Folder that all machines of the cluster share, or an address (s3://bucket/folder). Relative ``data.path`` and
    ``storage`` of a job are below it; CU_ROOT."""
    python: str = "python"
    """Python of the cluster's machines. A bare name is looked up on the PATH with which the head was started."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    """Ray's runtime environment: pip, env_vars, ... in addition to the working directory."""


def read_cluster(path: Path | None, **flags: Any) -> ClusterConfig:
    """flags > environment > file (``cluster.yaml`` where there is one).

    Raises: ConfigError.
    """
    if path is not None and not path.is_file():
        raise ConfigError(f"no cluster file {path}.")
    path = path or (FILE if FILE.is_file() else None)
    values = read_yaml(path) if path else {}
    check_keys(values, ClusterConfig, "")
    try:
        cluster = TypeAdapter(ClusterConfig).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {one_line(error)}") from error
    names = {"address": "RAY_API_SERVER_ADDRESS", "token_file": "RAY_AUTH_TOKEN_PATH", "root": "CU_ROOT"}
    found = {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}
    cluster = replace(cluster, **(found | {key: value for key, value in flags.items() if value is not None}))
    if os.environ.get("RAY_AUTH_TOKEN") and "token_file" not in found and flags.get("token_file") is None:
        cluster = replace(cluster, token_file=None)
    if cluster.address is None:
        raise ConfigError(
            "which cluster? give --address http://HEAD:8265, set RAY_API_SERVER_ADDRESS, or write address: to "
            "cluster.yaml."
        )
    if not cluster.address.startswith(("http://", "https://")):
        raise ConfigError(f"address: must be that of the dashboard, http://HEAD:8265, got {cluster.address!r}.")
    return cluster


def token_of(cluster: ClusterConfig) -> tuple[str, str]:
    """The token, empty where there is none, and where it was found."""
    if cluster.token_file is None:
        return os.environ.get("RAY_AUTH_TOKEN", ""), "RAY_AUTH_TOKEN"
    file = Path(cluster.token_file).expanduser()
    if not file.is_file():
        raise ConfigError(f"token_file: no file {file}.")
    if not (token := file.read_text().strip()):
        raise ConfigError(f"token_file: {file} is empty.")
    return token, str(file)


def refused(cluster: ClusterConfig, token: str, source: str) -> ConfigError:
    """What to say where the cluster does not take the token, or asks for one."""
    wanted = (
        f"refuses the token of {source}" if token else "wants a token: give --token-file, or set RAY_AUTH_MODE=token"
    )
    return ConfigError(f"the cluster at {cluster.address} {wanted}.")


def silent(cluster: ClusterConfig) -> ConfigError:
    """What to say where nothing answers."""
    return ConfigError(
        f"no cluster answers at {cluster.address}; its dashboard does, on port 8265 if it was not told another."
    )
