"""``torchrun --nproc-per-node N -m cu_core CONFIG.yaml [key.path=value ...]``: a run without Ray and MLflow."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from cu_core.checkpoint import load_state, save_state
from cu_core.config import RunConfig
from cu_core.config_io import load_config
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.dist import data_parallel, rank, world_size
from cu_core.errors import UserError
from cu_core.run import Hooks, import_original, open_reader, run_train, run_unlearn
from cu_core.run_audit import run_audit


def _run(config: RunConfig, out: Path) -> None:
    reader = open_reader(config)
    digest = reader.manifest.digest
    gpu = config.workers.gpu
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if rank() == 0:
        save_forget_set(config.store / "requests", resolve_request(config.request, reader, config.model.reads_captions))
    if dist.is_initialized():
        dist.barrier()
    forget = resolve_request(config.request, reader, config.model.reads_captions)
    request = config.store / "requests" / forget.digest / "forget.arrow"
    hooks = Hooks(device=device, wrap=lambda m: data_parallel(m, broadcast_buffers=config.batch_norm == "per_rank"))
    original = config.store / "models" / config.original_key(digest, world_size())
    if not (original / "meta.json").is_file():
        if config.model.weights in (None, "pretrained"):
            run_train(config, original, hooks)
        elif rank() == 0:
            import_original(config, original)
        if dist.is_initialized():
            dist.barrier()
    checkpoints = sorted((out / "checkpoints").glob("step-*"))
    config = replace(config, workers=replace(config.workers, count=world_size(), min_count=None))
    key = config.result_digest(digest, forget.digest, world_size())
    hooks = Hooks(
        device=device,
        wrap=hooks.wrap,
        save=lambda s: save_state(out / "checkpoints" / f"step-{s.step:08d}", s, key) if rank() == 0 else None,
        latest=lambda: load_state(checkpoints[-1], key) if checkpoints else None,
    )
    result = run_unlearn(config, original, request, out / "unlearned", hooks)
    first = rank() == 0
    if dist.is_initialized():
        dist.destroy_process_group()
    if first:  # the audit is the work of one process
        report, _ = run_audit(
            config, request, {"original": original, "unlearned": out / "unlearned"}, [], device, samples=False
        )
        sys.stdout.write(f"{result.steps} steps, model in {out / 'unlearned'}\n")
        for row in report.rows:
            sys.stdout.write(f"{row.title:40} original {row.original:6.1f}  unlearned {row.unlearned:6.1f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="torchrun -m cu_core", description=__doc__)
    parser.add_argument("config", type=Path)
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
