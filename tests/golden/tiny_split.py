"""The rows that a method may look at before the first step, held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cu_core.methods.base import Preparation
from cu_core.types import Batch
from tests.golden.tiny_model import CLASSES, Case, rows


@dataclass(frozen=True)
class Rows:
    split: str
    rows: Any

    def __len__(self) -> int:
        return len(self.rows)


def joined(*parts: Batch) -> Batch:
    columns = ([getattr(p, name) for p in parts] for name in ("images", "labels", "sample_ids"))
    return Batch(*(torch.cat(column) for column in columns))


def unseen_rows(case: Case, count: int) -> Batch:
    labels = np.random.default_rng([case.seed, 3]).integers(CLASSES, size=count).tolist()
    return rows(labels, case.seed, 900)


def preparation(case: Case, unseen: int = 9) -> Preparation:
    """Training rows are the forget and retain rows of the batch, mixed; ``unseen`` rows lie in ``val``."""
    batch = case.batch
    train = joined(batch.forget, batch.retain)
    order = torch.from_numpy(np.random.default_rng(case.seed).permutation(len(train)))
    train = Batch(train.images[order], train.labels[order], train.sample_ids[order])
    sets = {"train": train, "val": unseen_rows(case, unseen)}
    in_forget = np.isin(train.sample_ids.numpy(), batch.forget.sample_ids.numpy())
    retain = np.flatnonzero(~in_forget)
    reader = SimpleNamespace(
        images=lambda split, which: sets[split].images[which],
        labels=lambda split, which: sets[split].labels.numpy()[which],
        sample_ids=lambda split, which: sets[split].sample_ids.numpy()[which],
        manifest=SimpleNamespace(num_classes=CLASSES),
    )
    forget = SimpleNamespace(rows=np.flatnonzero(in_forget), classes=case.forget_classes, kind=case.kind)
    split: Any = SimpleNamespace(
        reader=reader,
        forget=forget,
        num_retain=len(retain),
        retain_rows=lambda ordinals: retain[ordinals],
        stop_retain=Rows("val", np.arange(unseen)),
    )
    return Preparation(case.models[0].eval(), case.models[2], split, 17, case.state)
