"""What a model answers on a set of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cu_core.data.forget_split import RowSet
from cu_core.data.shard_reader import ShardReader
from cu_core.dist import rank_slice, sum_over_ranks
from cu_core.metrics.retrieval import found_within
from cu_core.models.image_text import ImageTextClassifier

ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Predictions:
    """Outputs in float32 for N rows, on the host."""

    logits: NDArray[np.float32]
    """(N, C)."""
    embedding: NDArray[np.float32]
    """(N, D)."""
    hidden: NDArray[np.float32]
    """(N, D'), from about three quarters of the depth."""
    labels: NDArray[np.int64]
    sample_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> NDArray[np.bool_]:
        return np.asarray(self.logits.argmax(1) == self.labels, dtype=np.bool_)

    def where(self, mask: NDArray[np.bool_]) -> Predictions:
        return Predictions(*(values[mask] for values in vars(self).values()))


@torch.inference_mode()
def predict(model: nn.Module, reader: ShardReader, rows: RowSet) -> Predictions:
    """Outputs of ``model`` in evaluation mode; the mode it was in is restored."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    parts: list[list[NDArray[np.float32]]] = []
    for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
        part = rows.rows[start : start + ROWS_AT_ONCE]
        out = model(reader.images(rows.split, part).to(device))
        parts.append([x.float().cpu().numpy() for x in (out.logits, out.embedding, out.hidden)])
    model.train(was_training)
    labels, ids = reader.labels(rows.split, rows.rows), reader.sample_ids(rows.split, rows.rows)
    logits, embedding, hidden = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Predictions(logits, embedding, hidden, labels, ids)


@torch.inference_mode()
def embed_texts(model: ImageTextClassifier, captions: Sequence[str]) -> NDArray[np.float32]:
    """(N, D) at length one; the same words are embedded once."""
    words = sorted(set(captions))
    tokens = model.tokenize(words or [""]).to(next(model.parameters()).device)
    parts = [model.body.texts(part).float().cpu() for part in torch.split(tokens, ROWS_AT_ONCE)]
    place = {word: number for number, word in enumerate(words)}
    return torch.cat(parts).numpy()[[place[c] for c in captions]]


def shared_recall(model: ImageTextClassifier, reader: ShardReader, rows: RowSet) -> tuple[int, int]:
    """(rows whose image finds its own caption first among those of all ``rows``, count) over all ranks."""
    mine = RowSet(rows.split, rows.rows[rank_slice(len(rows))])
    everyone = [texts[0] for texts in reader.captions(rows.split, rows.rows)]
    own = np.array(everyone)[rank_slice(len(rows))]
    words = sorted(set(everyone))
    images = predict(model, reader, mine).embedding
    hits = found_within(images, embed_texts(model, words), own[:, None] == np.array(words)[None], 1)
    device = next(model.parameters()).device
    counts = sum_over_ranks(torch.tensor([int(hits.sum()), len(mine)], device=device)).tolist()
    return counts[0], counts[1]


def shared_accuracy(model: nn.Module, reader: ShardReader, rows: RowSet) -> tuple[int, int]:
    """(correct, count) over all ranks, each of which answers its slice."""
    mine = RowSet(rows.split, rows.rows[rank_slice(len(rows))])
    correct = int(predict(model, reader, mine).correct.sum()) if len(mine) else 0
    device = next(model.parameters()).device
    counts = sum_over_ranks(torch.tensor([correct, len(mine)], device=device)).tolist()
    return counts[0], counts[1]
