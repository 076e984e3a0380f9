"""Pools of models for the strong audit, as Ray tasks. Models and their margins are cached by digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import ray

from cu_core.audit.strong import TARGETS, Margins, margins_of, spread
from cu_core.checkpoint import read_meta
from cu_core.data.forget_split import RowSet
from cu_core.data.requests import ForgetSet, save_forget_set
from cu_core.errors import ConfigError
from cu_core.run import Hooks, load_model, run_unlearn
from cu_core.source import source_digest
from cu_core.storage import fetched
from cu_core.workspace import Workspace
from pipelines.cluster.board import ray_board
from pipelines.cluster.session import ray_session, resources
from pipelines.console import console, counted
from pipelines.run.dry_run import rows_per_second
from pipelines.run.plan import Plan, TrainJob, make_plan
from pipelines.run.task_options import device_of, gpu_share, ray_task, task_options
from pipelines.run.training import start_training

Role = Literal["original", "unlearned", "oracle"]


@dataclass(frozen=True)
class Member:
    """One seed (pool A) or one random half of the training rows (pool B), with the request that it forgets."""

    label: str
    plan: Plan
    base: Plan
    """The audited request on all data. Its rows are the targets."""

    @cached_property
    def folder(self) -> Path:
        """Folder of the unlearned model. The margins are in a sub-folder per base."""
        return self.plan.config.store / "pool" / self.plan.digest

    @cached_property
    def _asked(self) -> str:
        source = source_digest("figures", margins_of.__module__)
        return self.base.config.figures_key(["margins", source], self.base.forget.digest)

    @property
    def models(self) -> dict[Role, Path]:
        found: dict[Role, Path] = {"original": self.plan.original.folder, "unlearned": self.folder / "unlearned"}
        return found | ({"oracle": self.plan.oracles[0].folder} if self.plan.oracles else {})

    def margins_file(self, role: Role) -> Path:
        return self.folder / self._asked / f"{role}.npz"

    def margins(self, role: Role) -> Margins:
        return Margins.load(self.margins_file(role))

    @property
    def done(self) -> bool:
        return all(fetched(self.margins_file(role)) for role in self.models)

    @property
    def missing(self) -> list[TrainJob]:
        return [] if self.done else self.plan.missing


def target_rows(base: Plan) -> RowSet:
    """Return at most ``TARGETS`` rows of the request, as rows of the whole train split."""
    return RowSet("train", spread(base.forget.rows, TARGETS))


def pool_a(base: Plan, count: int) -> list[Member]:
    """Plan original, unlearned model and oracle of one request under ``count`` seeds."""
    audit = replace(base.config.audit, oracles=1)
    seeds = range(base.config.seed, base.config.seed + count)
    return [Member(f"seed {s}", make_plan(replace(base.config, seed=s, audit=audit)), base) for s in seeds]


def pool_b(base: Plan, count: int) -> list[Member]:
    """Plan ``count`` models on random halves. Each one unlearns the target rows that it was trained on."""
    return [Member(f"half {key}", _half_plan(base, key), base) for key in range(count)]


def _half_plan(base: Plan, key: int) -> Plan:
    config = replace(base.config, seed=base.config.seed + key, data=replace(base.config.data, half=key))
    workspace = Workspace(config)
    reader = workspace.reader
    ids = reader.sample_ids("train", np.arange(reader.num_rows("train"), dtype=np.int64))
    rows = np.flatnonzero(np.isin(ids, base.forget.sample_ids))
    digest = reader.manifest.digest
    forget = ForgetSet(base.forget.kind, base.forget.classes, rows, ids[rows], digest)
    file = save_forget_set(config.store / "requests", forget)
    original = TrainJob(f"train half {key}", config.store / "models" / config.original_key(digest), None)
    return Plan(workspace.for_request(file), forget, original, ())


def trained_on(members: Sequence[Member]) -> np.ndarray:
    """Return a mask (members, targets) of the target rows that each member was trained on."""
    base = members[0].base
    ids = spread(base.forget.sample_ids, TARGETS)
    return np.stack([np.isin(ids, m.plan.forget.sample_ids) for m in members])


@ray_task
def _run_member(member: Member, *models: None) -> None:
    """Unlearn and save the margins of each model. Ray starts this task when ``models`` are trained."""
    plan, base = member.plan, member.base
    config, device = base.config, device_of(base.config)
    folders = member.models
    if not fetched(folders["unlearned"] / "meta.json"):
        hooks = Hooks(device=device)
        run_unlearn(plan.workspace, plan.original.folder, folders["unlearned"], hooks)
    for role, folder in folders.items():
        if not fetched(member.margins_file(role)):
            model = load_model(config, base.reader, folder).to(device)
            margins_of(model, base.split, target_rows(base)).save(member.margins_file(role))


def run_members(members: Sequence[Member]) -> None:
    """Train and unlearn the missing models side by side. Cores, GPUs and memory limit their number."""
    todo = [m for m in members if not m.done]
    if not todo:
        console.print(f"{len(members)} members of the pools found, none to make")
        return
    config = todo[0].plan.config
    missing = {job.folder: (m.plan.workspace, job) for m in todo for job in m.missing}
    with ray_session(config), ray_board() as board:
        memory = announce(members, todo, list(missing.values()))
        trained = dict(zip(missing, start_training(list(missing.values()), board, memory), strict=True))
        pending = {}
        for member in todo:
            models = [trained[job.folder] for job in member.missing]
            options = task_options(member.plan.config) | {"memory": memory}
            pending[_run_member.options(**options).remote(member, *models)] = member
        total = len(todo)
        while pending:
            ready, _ = ray.wait(list(pending))
            ray.get(ready)
            for task in ready:
                member = pending.pop(task)
                board.update.remote("pools", total - len(pending), total, member.label)


def announce(members: Sequence[Member], todo: Sequence[Member], jobs: Sequence[tuple[Workspace, TrainJob]]) -> int:
    """Print the work, the expected time and the memory before the start; return the bytes per task."""
    config = todo[0].plan.config
    rows = config.batches.forget_batch + config.batches.retain_batch
    speed, growth = rows_per_second(todo[0].plan, rows)
    memory = psutil.Process().memory_info().rss + 2 * growth
    train_rows = config.train.epochs * todo[0].plan.manifest.num_rows("train")
    shares = [0.5 if workspace.config.data.half is not None else 1.0 for workspace, _ in jobs]
    seconds = sum(shares) * _training_seconds(members, train_rows / speed)
    seconds += len(todo) * config.stop.max_steps * rows / speed
    have = resources()
    slots = have["GPU"] / gpu_share(config) if config.workers.gpu else have["CPU"]
    slots = int(min(slots, have["memory"] / memory))
    if slots < 1:
        raise ConfigError(
            f"one model needs about {memory / 2**30:.1f} GiB, but the cluster reserves "
            f"{have['memory'] / 2**30:.1f} GiB for tasks; use smaller batches."
        )
    console.print(
        f"{counted(len(members), 'member')}: {len(members) - len(todo)} found, {len(todo)} to make; "
        f"{counted(len(jobs), 'model')} to train; "
        f"{slots} at a time, about {seconds / slots / 60:.0f} min and {slots * memory / 2**30:.1f} GiB in all",
        highlight=False,
        soft_wrap=True,
    )
    return int(memory)


def _training_seconds(members: Sequence[Member], estimate: float) -> float:
    """Return the seconds of a training on all rows: those of an earlier training, or else ``estimate``."""
    for member in members:
        original = member.plan.original
        if original.done and member.plan.config.data.half is None:
            return float(read_meta(original.folder, verify=False)["result"]["seconds"]) or estimate
    return estimate
