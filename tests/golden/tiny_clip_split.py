"""Captioned training rows that a method may look at before the first step, held in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cu_core.methods.base import Preparation
from tests.golden.tiny_clip import CLASSES, WORDS, ClipCase


def pairs_preparation(case: ClipCase) -> Preparation:
    """Forget rows first, then retain rows, each with one caption that the tokenizer turns into the batch's tokens."""
    parts = case.batch.forget, case.batch.retain
    images, labels, ids = (torch.cat([getattr(p, n) for p in parts]) for n in ("images", "labels", "sample_ids"))
    tokens = [row for p in parts if p.tokens is not None for row in p.tokens.tolist()]
    captions = [["".join(chr(WORDS + token) for token in row)] for row in tokens]
    reader = SimpleNamespace(
        images=lambda split, which: images[which],
        labels=lambda split, which: labels.numpy()[which],
        sample_ids=lambda split, which: ids.numpy()[which],
        captions=lambda split, which: [captions[int(row)] for row in which],
        manifest=SimpleNamespace(num_classes=len(CLASSES)),
    )
    first, count = len(case.batch.forget), len(case.batch.retain)
    forget = SimpleNamespace(rows=np.arange(first), classes=case.forget_classes, kind=case.kind)
    split: Any = SimpleNamespace(
        reader=reader, forget=forget, num_retain=count, retain_rows=lambda ordinals: first + np.asarray(ordinals)
    )
    return Preparation(case.model().eval(), None, split, 17, {})
