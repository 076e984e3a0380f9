"""What a run opens once and hands on: its configuration, its data and the sets of its request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cu_core.config import RunConfig
from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.requests import ForgetSet, load_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.models.published import published_preprocess


@dataclass(frozen=True)
class Workspace:
    """The configuration of a run and its data, which are opened on first use, once a process.

    It is pickled without what is open: another process opens it anew.

    Attributes:
        config: Configuration of the run.
        forget_file: File of the forget set; ``None`` to train an original, whose forget set is empty.
    """

    config: RunConfig
    forget_file: Path | None = None

    @cached_property
    def reader(self) -> ShardReader:
        """The data set."""
        config = self.config
        size, half = config.model.image_size, config.data.half
        if not config.model.library:
            return ShardReader(config.data.path, size, half=half)
        # Encoded images are resized as the library does, to the size from which the model's own crop is taken.
        own = published_preprocess(config.model.name, size)
        return ShardReader(
            config.data.path, own.resized, half=half, interpolation=own.interpolation, keep_ratio=own.keep_ratio
        )

    @cached_property
    def split(self) -> ForgetSplit:
        """The sets of the run."""
        config, digest, none = self.config, self.reader.manifest.digest, np.empty(0, np.int64)
        if self.forget_file:
            forget = load_forget_set(self.forget_file, digest)
        else:
            forget = ForgetSet("sample", (), none, none, digest)
        return ForgetSplit(
            self.reader,
            forget,
            seed=config.seed,
            limits=RowLimits(config.audit.stop_rows, config.audit.max_rows),
            tuning=config.audit.report_on == "stop",
            halve=config.halves_forget_rows,
            retain_shards=config.data.retain_shards,
        )

    def for_request(self, forget_file: Path | None) -> Workspace:
        """Return the same run with another request; open data are shared."""
        other = replace(self, forget_file=forget_file)
        return self._hand_over(other, "reader")

    def with_config(self, config: RunConfig) -> Workspace:
        """Return the same request under another configuration; what it opens alike is shared."""
        other = replace(self, config=config)
        if _opened(config) != _opened(self.config):
            return other
        return self._hand_over(other, "reader", *(["split"] if _divided(config) == _divided(self.config) else []))

    def _hand_over(self, other: Workspace, *names: str) -> Workspace:
        other.__dict__.update({name: self.__dict__[name] for name in names if name in self.__dict__})
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "forget_file": self.forget_file}


def _opened(config: RunConfig) -> tuple[Any, ...]:
    """Return the settings on which the reader depends."""
    return config.data.path, config.data.half, config.model


def _divided(config: RunConfig) -> tuple[Any, ...]:
    """Return the settings on which, beside the reader, the sets depend."""
    return config.seed, config.audit, config.halves_forget_rows, config.data
