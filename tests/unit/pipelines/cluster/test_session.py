"""Whether a cluster has what a run asks for; the cluster itself is made up."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.workers import WorkersConfig
from pipelines.cluster import session
from pipelines.run import job


def cluster(monkeypatch: pytest.MonkeyPatch, *cpus: int, **most: str) -> None:
    for name in ("CU_MOST_CPUS", "CU_MOST_GPUS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in most.items():
        monkeypatch.setenv(name, value)
    nodes: list[dict[str, Any]] = [
        {
            "Alive": True,
            "NodeID": f"{n + 1:056x}",
            "NodeManagerAddress": f"10.0.0.{n}",
            "Resources": {"CPU": c} if c else {},
        }
        for n, c in enumerate(cpus)
    ]
    monkeypatch.setattr(session.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(session.ray, "cluster_resources", lambda: {"CPU": float(sum(cpus)), "memory": 1e9})


@pytest.mark.parametrize(
    ("placement", "count", "room"),
    [("PACK", 8, 8), ("SPREAD", 8, 8), ("STRICT_SPREAD", 3, 2), ("STRICT_PACK", 5, 4), ("STRICT_PACK", 4, 4)],
)
def test_what_would_be_waited_for_for_ever_is_refused(
    monkeypatch: pytest.MonkeyPatch, placement: Any, count: int, room: int
) -> None:
    cluster(monkeypatch, 4, 4)
    workers = WorkersConfig(count=count, placement=placement)
    if count <= room:
        session.check_room(workers)
        return
    with pytest.raises(
        ConfigError, match=rf"workers\.count={count}: .*room for {room} by .*placement={placement}; CPUs"
    ):
        session.check_room(workers)


def test_where_machines_come_later_the_first_tells_whether_a_folder_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, 0, CU_MOST_CPUS="64")
    assert session.resources()["memory"] == math.inf
    assert session._others() == {"the first that was started": {"num_cpus": 1}}
    cluster(monkeypatch, 4)  # one machine, which has the folder
    assert session._others() == {}
    cluster(monkeypatch, 0, 4)
    assert list(session._others()) == ["10.0.0.0", "10.0.0.1"]


def test_a_run_that_a_cluster_refuses_leaves_nothing(
    class_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: RunConfig) -> None:
        raise ConfigError("no room")

    monkeypatch.setattr(job, "ray_session", refuse)
    config = replace(class_config, storage=str(tmp_path), name="refused")
    with pytest.raises(ConfigError, match="no room"):
        job.run_job(config)
    assert not (tmp_path / "runs" / "refused").exists()
