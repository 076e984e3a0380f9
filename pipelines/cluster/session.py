"""A Ray session: the cluster of RAY_ADDRESS or this machine, and whether it has what a run asks for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cu_core.config import RunConfig
from cu_core.data.schema import MANIFEST
from cu_core.errors import ConfigError
from cu_core.files import write_text
from cu_core.storage import address, place
from cu_core.workers import WorkersConfig
from pipelines.cluster.start import start_ray
from pipelines.console import counted


@contextmanager
def ray_session(config: RunConfig) -> Iterator[None]:
    """Ray on the cluster of RAY_ADDRESS, else on this machine for the length of the block.

    Raises: ConfigError if the cluster lacks what the run asks for (it would wait for ever).
    """
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    if config.workers.min_count:  # how long a lost machine is waited for
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "20")
    started = not ray.is_initialized()
    if started:
        start_ray(os.environ.get("RAY_ADDRESS") or "local")
    try:
        check_room(config.workers)
        check_room(config.while_training.workers, "train.workers")
        check_shared(config)
        yield
    finally:
        if started:
            ray.shutdown()


def resources() -> dict[str, float]:
    """What the cluster has, or grows to where its head starts machines as they are asked for (CU_MOST_CPUS,
    CU_MOST_GPUS)."""
    have: dict[str, float] = {"CPU": 0.0, "GPU": 0.0, "memory": 0.0} | ray.cluster_resources()
    most = {"CPU": float(os.environ.get("CU_MOST_CPUS") or 0), "GPU": float(os.environ.get("CU_MOST_GPUS") or 0)}
    if any(most.values()):
        most["memory"] = math.inf  # of machines that are not there nothing else is known
    return have | {name: max(have[name], value) for name, value in most.items()}


def check_room(workers: WorkersConfig, part: str = "workers") -> None:
    """Raises: ConfigError if the cluster's machines do not hold so many workers (they would be waited for for ever);
    it names the ``part`` of the configuration."""
    least, have = workers.min_count or workers.count, resources()
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if workers.gpu and least > have["GPU"]:
        raise ConfigError(
            f"workers.gpu: {least} GPUs are needed, the cluster has {have['GPU']:.0f}; set workers.gpu=false."
        )
    if have["memory"] == math.inf and least * workers.cpus <= have["CPU"]:
        return
    gpus = [m.get("GPU", 0) if workers.gpu else math.inf for m in machines]
    rooms = [min(math.floor(m.get("CPU", 0) / workers.cpus + 1e-9), gpu) for m, gpu in zip(machines, gpus, strict=True)]
    room = {"STRICT_PACK": max(rooms), "STRICT_SPREAD": sum(r >= 1 for r in rooms)}.get(workers.placement, sum(rooms))
    if least > room:
        needs = f"{counted(least, 'worker')} of {workers.cpus:g} CPUs" if workers.cpus != 1 else f"{part}.count={least}"
        each = ", ".join(f"{m.get('CPU', 0):g}" for m in machines[:8])
        strict = f" by {part}.placement={workers.placement}" if "STRICT" in workers.placement else ""
        needs += " and a GPU each" if workers.gpu else ""
        raise ConfigError(
            f"{needs}: the cluster has room for {room:g}{strict}; CPUs of its "
            f"{counted(len(machines), 'machine')}: {each}{', ...' if len(machines) > 8 else ''}."
        )


@ray.remote(num_cpus=0)
def _sees(file: Path) -> bool:
    return file.is_file()


def check_shared(config: RunConfig) -> None:
    """On several machines, what one writes the others must see, and all the data.

    Raises: ConfigError naming a machine that does not.
    """
    if not _others():
        return
    if not address(config.store):
        mark = config.store / f".seen-{os.getpid()}"
        write_text(mark, "written to find out which machines see this folder\n")
        try:
            _check_seen("storage", mark)
        finally:
            mark.unlink(missing_ok=True)
    data = place(config.data.path)
    if not address(data):
        _check_seen("data.path", data / MANIFEST)


def _others() -> dict[str, dict[str, Any]]:
    """Machines, by what they are called, and the options of a task that runs there: all of several, or the first that a
    cluster starts which begins with its head."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) > 1:
        pinned = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
        return {n["NodeManagerAddress"]: {"scheduling_strategy": p} for n, p in zip(nodes, pinned, strict=True)}
    grows = resources()["memory"] == math.inf and not nodes[0]["Resources"].get("CPU")
    return {"the first that was started": {"num_cpus": 1}} if grows else {}


def _check_seen(setting: str, file: Path) -> None:
    machines = _others()
    seen = ray.get([_sees.options(**options).remote(file) for options in machines.values()])
    blind = [machine for machine, sees in zip(machines, seen, strict=True) if not sees]
    if blind:
        raise ConfigError(
            f"{setting}: {file.parent} is not shared: {', '.join(blind)} of {counted(len(machines), 'machine')} lack "
            f"it; name a folder that all machines mount, or an address such as s3://bucket/folder."
        )
