"""``torchrun --nproc-per-node N -m cu_core CONFIG.yaml [key.path=value ...]``: a run without Ray and MLflow."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from cu_core.audit.queries import check_columns
from cu_core.checkpoint import load_state
from cu_core.config import RunConfig
from cu_core.config_io import load_config
from cu_core.data.requests import ForgetSet, resolve_request, save_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.dist import data_parallel, rank, world_size
from cu_core.errors import UserError
from cu_core.run import Hooks, import_original, run_train, run_unlearn
from cu_core.run_audit import run_audit
from cu_core.sharded_state import StateSaver
from cu_core.weights_file import META
from cu_core.workspace import Workspace
from cu_core.yaml_io import config_file

ELSEWHERE = ("name", "workers.min_count", "workers.cpus", "workers.placement", "workers.models_per_gpu",
             "workers.max_failures", "train.workers.count", "train.workers.min_count", "train.workers.cpus",
             "train.workers.placement", "tracking.uri", "tracking.experiment", "tracking.registry_name")  # fmt: skip
"""Settings of runs on Ray, recorded in MLflow."""


def _check(config: RunConfig) -> None:
    """Reject settings that have no effect here.

    Raises:
        UserError: A setting of runs on Ray is set, or ``workers.count`` is not the number of processes.
    """
    for path in ELSEWHERE:
        own, default = (functools.reduce(getattr, path.split("."), whole) for whole in (config, RunConfig()))
        if own != default:
            raise UserError(f"{path}={own} has no effect under torchrun; it is a setting of `cu unlearn`.")
    if config.workers.count not in (1, world_size()):
        raise UserError(
            f"workers.count={config.workers.count}, but torchrun started {world_size()}: --nproc-per-node decides."
        )


def _request(config: RunConfig, reader: ShardReader) -> tuple[ForgetSet, Path]:
    """Return the forget set and the path of its file, which rank 0 writes."""
    forget = resolve_request(config.request, reader, config.model.reads_captions)
    if rank() == 0:
        sys.stdout.writelines(f"{note}\n" for note in forget.notes)
        save_forget_set(config.store / "requests", forget)
    _wait()
    return forget, config.store / "requests" / forget.digest / "forget.arrow"


def _wait() -> None:
    """Wait for all ranks; does nothing in a single process."""
    if dist.is_initialized():
        dist.barrier()


def _train(workspace: Workspace, folder: Path, hooks: Hooks, number: int = 0) -> Path:
    """Train or import an original or an oracle if its folder holds no model yet; return the folder."""
    if not (folder / "meta.json").is_file():
        if workspace.forget_file or workspace.config.model.weights in (None, "pretrained"):
            run_train(workspace, folder, hooks, number)
        elif rank() == 0:
            import_original(workspace, folder)
        _wait()
    return folder


def _run(config: RunConfig, out: Path) -> None:
    _check(config)
    reader = Workspace(config).reader
    check_columns(config.audit, reader)
    digest, gpu = reader.manifest.digest, config.workers.gpu
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    forget, request = _request(config, reader)
    hooks = Hooks(device=device, wrap=lambda m: data_parallel(m, broadcast_buffers=config.batch_norm == "per_rank"))
    models = config.store / "models"
    together = replace(config.train.workers, count=world_size())
    config = replace(config, train=replace(config.train, workers=together))
    asked = Workspace(config, request)
    original = _train(asked.for_request(None), models / config.original_key(digest), hooks)
    oracles = [
        _train(asked, models / config.oracle_key(digest, forget.digest, number), hooks, number)
        for number in range(config.audit.oracles)
    ]
    checkpoints = sorted(f for f in (out / "checkpoints").glob("step-*") if (f / META).is_file())
    saver = StateSaver()
    config = replace(config, workers=replace(config.workers, count=world_size(), min_count=None))
    asked = asked.with_config(config)
    key = config.result_digest(digest, forget.digest)
    hooks = replace(
        hooks,
        save=lambda state: saver.save(out / "checkpoints" / f"step-{state.step:08d}", state, key),
        latest=lambda: load_state(checkpoints[-1], key) if checkpoints else None,
    )
    result = run_unlearn(asked, original, out / "unlearned", hooks)
    first = rank() == 0
    if dist.is_initialized():
        dist.destroy_process_group()
    if first:  # the audit is the work of one process
        roles = {"original": original, "unlearned": out / "unlearned"}
        report = run_audit(asked, roles, oracles, device)
        sys.stdout.write(f"{result.steps} steps, model in {out / 'unlearned'}\n")
        for row in report.rows:
            others = f"  oracles {sum(row.oracles) / len(row.oracles):6.1f}" if row.oracles else ""
            sys.stdout.write(f"{row.title:40} original {row.original:6.1f}  unlearned {row.unlearned:6.1f}{others}\n")
        sys.stdout.write(f"verdict: {report.verdict.word} ({report.verdict.reason})\n")


def main() -> None:
    """Run the command line; a ``UserError`` becomes one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="torchrun -m cu_core", description=__doc__)
    parser.add_argument("config", type=config_file)
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the unlearned model")
    arguments = parser.parse_args()
    distributed = "RANK" in os.environ
    try:
        config = load_config(arguments.config, arguments.overrides)
        if distributed:
            dist.init_process_group("nccl" if config.workers.gpu else "gloo")
        _run(config, arguments.out)
    except UserError as error:
        sys.stderr.write(f"cu_core: {' '.join(str(error).split())}\n")
        sys.exit(2)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
