"""A Ray cluster as a place to send commands to: its address, its token, and the jobs there."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from cu_core.errors import ConfigError
from cu_core.secrets import masked, names_secret
from pipelines.cluster.address import ClusterConfig, refused, silent, token_of
from pipelines.cluster.sent import Sent

SILENCE = 120.0
"""Seconds after which a stream that brings nothing may have lost its other end."""
ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED})


def connect(cluster: ClusterConfig) -> JobSubmissionClient:
    """Raises: ConfigError if nothing answers there, or not to this token."""
    assert cluster.address is not None
    for chatter in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env"):
        logging.getLogger(f"ray.{chatter}").setLevel(logging.ERROR)
    os.environ["RAY_API_SERVER_ADDRESS"] = cluster.address  # Ray prefers the environment to what it is told
    token, source = token_of(cluster)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return JobSubmissionClient(cluster.address, headers=headers)
    except AuthenticationError as error:
        raise refused(cluster, token, source) from error
    except (ConnectionError, RuntimeError) as error:
        raise silent(cluster) from error


def check_secrets(cluster: ClusterConfig, words: Sequence[str]) -> None:
    """What a job is given is shown by the dashboard to whoever may look at it.

    Raises: ConfigError for a password, token or key in a word or a variable.
    """
    for word in words:
        if masked(word) != word:
            raise ConfigError(f"{masked(word)}: the dashboard shows a job's command; set the variable on the cluster.")
    for name, value in cluster.runtime_env.get("env_vars", {}).items():
        if names_secret(name) or masked(str(value)) != str(value):
            raise ConfigError(f"runtime_env.env_vars.{name}: the dashboard shows it; set it on the cluster's machines.")
    for key in {"working_dir", "excludes"} & cluster.runtime_env.keys():
        raise ConfigError(f"runtime_env.{key}: what is sent is what `cu submit --dry-run` lists; leave it out.")


def submit(
    client: JobSubmissionClient, cluster: ClusterConfig, words: Sequence[str], name: str | None, sent: Sent
) -> str:
    """Send the files and start ``cu WORDS`` on the cluster; returns the job's id.

    Raises: ConfigError if the cluster does not take it.
    """
    env = {"CU_ROOT": cluster.root or "", "COLUMNS": "120", **cluster.runtime_env.get("env_vars", {})}
    command = shlex.join([cluster.python, "-m", "pipelines.cli.entry", *words])
    with tempfile.TemporaryDirectory(prefix="cu-submit-") as folder:
        sent.copy(Path(folder))
        runtime_env = {**cluster.runtime_env, "working_dir": folder, "env_vars": env}
        try:
            return str(client.submit_job(entrypoint=command, submission_id=name, runtime_env=runtime_env))
        except (RuntimeError, ValueError) as error:
            reason = masked(" ".join(str(error).split())[:300])
            raise ConfigError(f"the cluster did not take the job: {reason}") from error


class JobOutput:
    """What a job prints; a stream that is begun anew does not print twice."""

    def __init__(self, client: JobSubmissionClient, job: str):
        self.client, self.job, self.shown = client, job, 0

    async def show(self) -> bool:
        """Print it as it comes; returns whether the stream came to its end."""
        seen, stream = 0, aiter(self.client.tail_job_logs(self.job))
        while True:
            try:
                text = await asyncio.wait_for(anext(stream), SILENCE)
            except StopAsyncIteration:
                return True
            except TimeoutError:
                return False
            print(text[max(0, self.shown - seen) :], end="", flush=True)
            seen += len(text)
            self.shown = max(self.shown, seen)


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
