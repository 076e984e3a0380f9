"""A Ray cluster as a place to send commands to: its address, its token, and the jobs there."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from cu_core.config_io import check_keys, one_line
from cu_core.errors import ConfigError
from cu_core.yaml_io import parse_yaml

FILE = Path("cluster.yaml")
LEFT_OUT = (
    ".git", ".venv", "/data", "/shared", "/outputs", "/mlruns", "/build", "**/__pycache__", ".*_cache", ".hypothesis",
)  # fmt: skip
"""What is not sent along with a job, as in a .gitignore: /data is this folder's own, not that of a package."""
ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED})


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
    values = parse_yaml(path.read_text(), str(path)) if path else {}
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


def connect(cluster: ClusterConfig) -> JobSubmissionClient:
    """Raises: ConfigError if nothing answers there, or not to this token."""
    assert cluster.address is not None
    for chatter in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env"):
        logging.getLogger(f"ray.{chatter}").setLevel(logging.ERROR)
    os.environ["RAY_API_SERVER_ADDRESS"] = cluster.address  # Ray prefers the environment to what it is told
    token, source = _token(cluster)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return JobSubmissionClient(cluster.address, headers=headers)
    except AuthenticationError as error:
        wanted = (
            f"refuses the token of {source}"
            if token
            else "wants a token: give --token-file, or set RAY_AUTH_MODE=token"
        )
        raise ConfigError(f"the cluster at {cluster.address} {wanted}.") from error
    except (ConnectionError, RuntimeError) as error:
        raise ConfigError(
            f"no cluster answers at {cluster.address}; its dashboard does, on port 8265 if it was not told another."
        ) from error


def _token(cluster: ClusterConfig) -> tuple[str, str]:
    """The token, empty where there is none, and where it was found."""
    if cluster.token_file is None:
        return os.environ.get("RAY_AUTH_TOKEN", ""), "RAY_AUTH_TOKEN"
    file = Path(cluster.token_file).expanduser()
    if not file.is_file():
        raise ConfigError(f"token_file: no file {file}.")
    if not (token := file.read_text().strip()):
        raise ConfigError(f"token_file: {file} is empty.")
    return token, str(file)


def submit(client: JobSubmissionClient, cluster: ClusterConfig, words: Sequence[str], name: str | None) -> str:
    """Send this folder, without data and outputs, and start ``cu WORDS`` on the cluster; returns the job's id.

    Raises: ConfigError if the cluster does not take it.
    """
    env = {"CU_ROOT": cluster.root or "", "COLUMNS": "120", **cluster.runtime_env.get("env_vars", {})}
    runtime_env = {"working_dir": ".", "excludes": list(LEFT_OUT), **cluster.runtime_env, "env_vars": env}
    command = shlex.join([cluster.python, "-m", "pipelines.cli.entry", *words])
    try:
        return str(client.submit_job(entrypoint=command, submission_id=name, runtime_env=runtime_env))
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the cluster did not take the job: {' '.join(str(error).split())[:300]}") from error


async def follow(client: JobSubmissionClient, job: str) -> AsyncIterator[str]:
    """What the job prints, from its beginning to its end."""
    async for text in client.tail_job_logs(job):
        yield text


def job_info(client: JobSubmissionClient, job: str) -> JobDetails:
    """Raises: ConfigError if there is no such job."""
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        there = ", ".join(str(j.submission_id) for j in list_jobs(client)) or "none"
        raise ConfigError(f"no job {job!r} on the cluster; jobs there: {there}.") from error


def list_jobs(client: JobSubmissionClient) -> list[JobDetails]:
    """Submitted jobs, newest first."""
    found = [job for job in client.list_jobs() if job.submission_id]
    return sorted(found, key=lambda job: -(job.start_time or 0))
