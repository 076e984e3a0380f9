"""The jobs of a cluster, asked of its dashboard by HTTP: the list needs no Ray, which takes seconds to import."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.cluster.address import ClusterConfig, refused, silent, token_of

PATIENCE = 10.0
"""Seconds within which the dashboard must answer."""


@dataclass(frozen=True)
class Job:
    """A job that was submitted."""

    name: str
    state: str
    began: float
    """Seconds since 1970."""
    ended: float | None
    command: str


def list_jobs(cluster: ClusterConfig) -> list[Job]:
    """Submitted jobs, newest first.

    Raises: ConfigError if nothing answers there, or not to this token.
    """
    token, source = token_of(cluster)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{str(cluster.address).rstrip('/')}/api/jobs/", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found: list[Mapping[str, Any]] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise (refused(cluster, token, source) if error.code in (401, 403) else silent(cluster)) from error
    except (OSError, ValueError) as error:
        raise silent(cluster) from error
    jobs = [_job(one) for one in found if one.get("submission_id")]
    return sorted(jobs, key=lambda job: -job.began)


def _job(one: Mapping[str, Any]) -> Job:
    command = one["entrypoint"].partition("pipelines.cli.entry ")[2] or one["entrypoint"]
    ended = one.get("end_time")
    began = (one.get("start_time") or 0) / 1000
    return Job(one["submission_id"], one["status"].lower(), began, ended / 1000 if ended else None, command)
