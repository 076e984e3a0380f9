"""Least memory that a configuration needs, estimated before anything is allocated."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cu_core.errors import ConfigError

if TYPE_CHECKING:  # seconds to import, which commands that only read need not pay
    from cu_core.config import RunConfig
    from cu_core.data.shard_reader import ShardReader

CGROUP = Path("/sys/fs/cgroup/memory.max")
FLOAT_BYTES = 4
COPIES = 4
"""Weights, gradients, the optimizer's momentum, and the original beside the model."""
PAIR_BYTES = 24
"""Of a pair of views: its similarity and its place in the lists of pairs, and the former's gradient."""
GIB = 2**30


def machine_bytes() -> int:
    """Return the memory of this machine, or of the container that this process runs in if that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no control groups, or no limit
        found = min(found, int(CGROUP.read_text()))
    return found


def needed_bytes(config: RunConfig, reader: ShardReader) -> Mapping[str, int]:
    """Estimate the least memory that each part of a run needs on one machine.

    Args:
        config: Configuration of the run.
        reader: The data set.

    Returns:
        The settings that ask for it -> bytes. Activations are not counted.
    """
    from cu_core.losses.blocks import AT_ONCE

    manifest, batches = reader.manifest, config.batches_for(reader.manifest.num_classes)
    size = config.model.image_size or (manifest.image_shape[1] if manifest.image_shape else 1)
    image = reader.image_channels * size**2 * FLOAT_BYTES
    workers = config.workers.count
    forget = min(batches.forget_batch, reader.num_rows("train"))
    retain = batches.retain_batch + batches.added(manifest.num_classes, forget)
    found = {
        "model": COPIES * weight_count(config, reader) * FLOAT_BYTES,
        "train.batch": min(config.train.batch, reader.num_rows("train")) * image,
        "batches": (forget + retain) * image // workers,
        "audit.rebound_batch": config.audit.rebound_batch * image,
    }
    if config.method.name.startswith("contrastive"):
        similarities = min(forget * retain // workers, max(AT_ONCE, retain))
        found["batches (similarities of forget rows with retain rows)"] = similarities * FLOAT_BYTES
    if rows := getattr(config.method, "noise_rows", 0):
        found["method.noise_rows"] = rows * image
    return found | _encoder_bytes(config, reader)


def _encoder_bytes(config: RunConfig, reader: ShardReader) -> dict[str, int]:
    """Estimate what training by contrast needs beside the model: pairs of views, or a queue."""
    train = config.train
    if train.objective == "cross_entropy":
        return {}
    if train.objective == "moco":
        return {"train.contrast.queue": train.contrast.queue * train.contrast.projection * FLOAT_BYTES}
    views = 2 * min(train.batch, reader.num_rows("train"))
    return {"train.batch (pairs of views)": views * views // train.workers.count * PAIR_BYTES}


def weight_count(config: RunConfig, reader: ShardReader) -> int:
    """Return the number of weights of a model of the table, without allocating them; 0 for other models."""
    import torch

    from cu_core.models.build import MODELS, build_model, preprocess_for

    if config.model.name not in MODELS or config.model.weights == "pretrained":
        return 0
    manifest = reader.manifest
    preprocess = preprocess_for(config.model, manifest.image_shape, manifest.pixel_mean, manifest.pixel_std)
    with torch.device("meta"):
        model = build_model(config.model, manifest.class_names, preprocess, 0)
    return sum(weights.numel() for weights in model.parameters())


def check_memory(config: RunConfig, reader: ShardReader) -> None:
    """Check that this machine has the least memory that a run needs.

    Raises:
        ConfigError: It has not; the message names the settings that ask for most.
    """
    found, limit = needed_bytes(config, reader), machine_bytes()
    if sum(found.values()) <= limit:
        return
    most = max(found, key=lambda part: found[part])
    raise ConfigError(
        f"{most}: needs {found[most] / GIB:,.0f} GiB of memory at least, this machine has {limit / GIB:,.0f} GiB; "
        f"choose smaller values."
    )
