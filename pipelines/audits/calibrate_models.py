"""The models with a known verdict that `cu calibrate` trains in addition to the original and the oracles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import ray
import torch

from cu_core.checkpoint import load_weights, read_meta, save_model
from cu_core.data.order import hash64
from cu_core.data.requests import ForgetSet, save_forget_set
from cu_core.errors import ConfigError
from cu_core.files import digest_of
from cu_core.salts import Salt
from cu_core.storage import fetched
from pipelines.cluster.session import ray_session
from pipelines.run.plan import Plan, TrainJob
from pipelines.run.task_options import ray_task, task_options
from pipelines.run.training import train_missing


@dataclass(frozen=True)
class Amounts:
    """Percentages of rows or noise, with ``replicates`` models for each."""

    left: Sequence[float] = ()
    """Percent of the forget rows that stay in training."""
    lost: Sequence[float] = ()
    """Percent of the retain rows that are left out of training."""
    noise: Sequence[float] = ()
    """Standard deviation of the noise on an oracle's weights, in percent of that of the weights of the same tensor."""
    replicates: int = 3


@dataclass(frozen=True)
class Sort:
    """Models of one kind and amount."""

    what: str
    percent: float
    models: dict[str, Path]
    made_of: Mapping[str, str] = field(default_factory=dict)
    """Changed oracle -> the oracle that it was made from, which does not judge it."""


def check_amounts(plan: Plan, amounts: Amounts) -> None:
    """Raises: ConfigError for a percentage that selects no row, or all rows."""
    forget, total = len(plan.forget.rows), plan.manifest.num_rows("train")
    for name, levels, count in (("left", amounts.left, forget), ("lost", amounts.lost, total - forget)):
        for percent in levels:
            if not 0 < round(percent / 100 * count) < count:
                raise ConfigError(f"--{name} {percent:g}: of {count} rows, this is no row or all rows.")


def make_models(plan: Plan, amounts: Amounts) -> list[Sort]:
    """Train the missing models: the original, the oracles and those of ``amounts``.

    The result starts with the held-out oracles and ends with the original.
    """
    oracles = {f"oracle_{i}": job.folder for i, job in enumerate(plan.oracles)}
    trained = _partly_trained(plan, amounts)
    jobs = {job.folder: job for job in [plan.original, *plan.oracles, *(j for _, _, part in trained for j in part)]}
    with ray_session(plan.config):
        train_missing(plan.workspace, [job for job in jobs.values() if not job.done], local=False)
        noisy = [(level, _noisy(plan, level, amounts.replicates)) for level in amounts.noise]
    sorts = [Sort(what, percent, {job.label: job.folder for job in part}) for what, percent, part in trained]
    for level, models in noisy:
        sorts.append(Sort("noise on weights", level, models, dict(zip(models, oracles, strict=False))))
    return [Sort("held-out oracle", 0, oracles), *sorts, Sort("original", 100, {"original": plan.original.folder})]


def _partly_trained(plan: Plan, amounts: Amounts) -> list[tuple[str, float, list[TrainJob]]]:
    """Plan oracles without other rows, each with its own initialisation and order of rows."""
    config, forget, reader = plan.config, plan.forget, plan.reader
    rest = np.setdiff1d(np.arange(reader.num_rows("train"), dtype=np.int64), forget.rows)
    number, found = config.audit.oracles, []
    for what, key, levels in (
        ("left in", Salt.LEFT_IN_ROWS, amounts.left),
        ("retain rows lost", Salt.LOST_ROWS, amounts.lost),
    ):
        for percent in levels:
            part = []
            for replicate in range(amounts.replicates):
                keys = config.seed, key, replicate
                if key == Salt.LEFT_IN_ROWS:
                    without = forget.rows[~_share(forget.sample_ids, percent, *keys)]
                else:
                    lost = _share(reader.sample_ids("train", rest), percent, *keys)
                    without = np.union1d(forget.rows, rest[lost])
                ids = reader.sample_ids("train", without)
                unseen = ForgetSet("sample", (), without, ids, forget.data_digest)
                folder = config.store / "models" / config.oracle_key(forget.data_digest, unseen.digest, number)
                file = save_forget_set(config.store / "requests", unseen)
                part.append(TrainJob(f"{what} {percent:g}%, {replicate}", folder, file, number))
                number += 1
            found.append((what, percent, part))
    return found


def _share(ids: np.ndarray, percent: float, *keys: int) -> np.ndarray:
    """Return a mask that selects ``percent`` of the rows by a keyed hash of their ids."""
    chosen = np.zeros(len(ids), dtype=np.bool_)
    chosen[np.argsort(hash64(ids, *keys), kind="stable")[: round(percent / 100 * len(ids))]] = True
    return chosen


def _noisy(plan: Plan, percent: float, replicates: int) -> dict[str, Path]:
    """Add noise to the weights of the first oracles."""
    made, tasks = {}, []
    for replicate, oracle in enumerate(plan.oracles[:replicates]):
        key = digest_of([oracle.folder.name, "noise", percent, Salt.WEIGHT_NOISE])
        made[f"noise {percent:g}%, {replicate}"] = folder = plan.config.store / "models" / key
        if not fetched(folder / "meta.json"):
            options = task_options(plan.config) | {"num_gpus": 0}
            tasks.append(
                _add_noise.options(**options).remote(oracle.folder, folder, percent, [Salt.WEIGHT_NOISE, replicate])
            )
    ray.get(tasks)
    return made


@ray_task
def _add_noise(source: Path, target: Path, percent: float, seed: Sequence[int]) -> None:
    weights, meta = load_weights(source), read_meta(source)
    rng = np.random.default_rng(list(seed))
    for name, value in weights.items():
        if value.is_floating_point() and value.dim() > 1:
            noise = torch.from_numpy(rng.normal(size=tuple(value.shape))).to(value)
            weights[name] = value + percent / 100 * value.std() * noise
    save_model(target, weights, {k: v for k, v in meta.items() if k != "files"}, None)
