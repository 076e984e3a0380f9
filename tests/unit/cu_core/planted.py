"""Data and models whose right figures are known: images hold their sample_id, a model is a table of answers by id."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from cu_core.audit.subject import AuditConfig, Subject
from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.requests import ForgetSet
from cu_core.types import Outputs, RequestKind
from cu_core.unlearn.evaluate import Predictions

FIRST_ID = 3
"""Ids are not row numbers: train rows have the ids from here on, val and test rows the next ones."""


class PlantedReader:
    """What a reader of packed data gives, from lists of labels; ``captions`` and ``columns`` by sample_id."""

    def __init__(
        self,
        captions: dict[int, list[str]] | None = None,
        columns: dict[str, dict[int, Any]] | None = None,
        **labels: list[int],
    ):
        self.folder = "planted"
        self._labels = {split: np.array(labels.get(split, []), np.int64) for split in ("train", "val", "test")}
        first, self._ids = FIRST_ID, {}
        for split, values in self._labels.items():
            self._ids[split] = np.arange(first, first + len(values))
            first += len(values)
        self.total = first
        classes = int(max(values.max(initial=0) for values in self._labels.values())) + 1
        self.manifest = SimpleNamespace(
            num_classes=classes, class_names=tuple(str(c) for c in range(classes)), digest="d"
        )
        self._captions, self._columns = captions or {}, columns or {}

    def num_rows(self, split: str) -> int:
        return len(self._labels[split])

    def labels(self, split: str, rows: Any) -> np.ndarray:
        return self._labels[split][rows]

    def sample_ids(self, split: str, rows: Any) -> np.ndarray:
        return self._ids[split][rows]

    def images(self, split: str, rows: Any) -> Tensor:
        """(N, 1, 1, 2): the id in two bytes."""
        ids = self._ids[split][rows]
        return torch.from_numpy(np.stack([ids // 256, ids % 256], 1).astype(np.uint8)).view(-1, 1, 1, 2)

    def column(self, name: str, rows: Any, split: str = "train") -> pa.Array:
        return pa.array([self._columns[name].get(int(i)) for i in self._ids[split][rows]])

    def integers_in(self, column: str, values: Any) -> np.ndarray:
        return np.flatnonzero(np.isin(self._labels["train"], values))

    def captions(self, split: str, rows: Any) -> list[list[str]]:
        return [self._captions[int(i)] for i in self._ids[split][rows]]


def ids_of(images: Tensor) -> Tensor:
    return images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1].long()


class Lookup(nn.Module):
    """Logits of a row are its line of ``table``, which training changes, and no other line. ``groups``: line of each
    id, where rows share one."""

    tokenize = None

    def __init__(self, table: Any, groups: Any = None, embedding: Any = None, hidden: Any = None):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(np.asarray(table), dtype=torch.float32))
        self.groups = None if groups is None else torch.as_tensor(np.asarray(groups))
        self.features = [None if x is None else torch.as_tensor(np.asarray(x, np.float32)) for x in (embedding, hidden)]
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> Outputs:
        self.modes.append(self.training)
        ids = ids_of(images)
        logits = self.table[ids if self.groups is None else self.groups[ids]]
        embedding, hidden = (logits if x is None else x[ids] for x in self.features)
        return Outputs(embedding, hidden, logits)


def table(total: int, labels: dict[int, int], classes: int) -> np.ndarray:
    """Logits 4 for the class that an id is given, all else 0."""
    found = np.zeros((total, classes), np.float32)
    for number, label in labels.items():
        found[number, label] = 4
    return found


def planted_split(reader: Any, kind: RequestKind, forget: list[int], **settings: Any) -> ForgetSplit:
    """``forget`` are train rows."""
    rows = np.array(forget, np.int64)
    classes = tuple(sorted(set(reader.labels("train", rows).tolist()))) if kind == "class" else ()
    request = ForgetSet(kind, classes, rows, reader.sample_ids("train", rows), "d")
    limits = RowLimits(settings.pop("stop_rows", 50), settings.pop("max_rows", 50))
    return ForgetSplit(reader, request, limits=limits, **{"seed": 0, **settings})


def answers(p_own: list[float], labels: list[int], classes: int = 2, **features: Any) -> Predictions:
    """Rows whose own class has the probability ``p_own``; the others share the rest."""
    p = np.repeat((1 - np.array(p_own))[:, None] / (classes - 1), classes, axis=1)
    p[np.arange(len(p)), labels] = p_own
    return predictions(np.log(p), labels, **features)


def predictions(logits: Any, labels: Any, embedding: Any = None, hidden: Any = None) -> Predictions:
    logits, labels = np.asarray(logits, np.float32), np.asarray(labels, np.int64)
    features = [logits if x is None else np.asarray(x, np.float32) for x in (embedding, hidden)]
    return Predictions(logits, *features, labels, np.arange(len(labels)))


def subject(
    kind: RequestKind = "class",
    config: AuditConfig | None = None,
    seed: int = 0,
    classes: tuple[int, ...] = (0,),
    **sets: Predictions,
) -> Subject:
    """A subject that has answered already."""
    split: Any = SimpleNamespace(forget=SimpleNamespace(kind=kind, classes=tuple(classes) if kind == "class" else ()))
    model: Any = None
    made = Subject(model, split, config or AuditConfig(), seed)
    vars(made).update(sets)
    return made
