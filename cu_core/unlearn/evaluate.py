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
from cu_core.models.classifier import Classifier
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
        """Whether each row's largest logit is its label's, (N,)."""
        return np.asarray(self.logits.argmax(1) == self.labels, dtype=np.bool_)

    def where(self, mask: NDArray[np.bool_]) -> Predictions:
        """Return the rows of a mask."""
        return Predictions(*(values[mask] for values in vars(self).values()))


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the rows of all parts, one part after the other."""
    return Predictions(*(np.concatenate(column) for column in zip(*(vars(p).values() for p in parts), strict=True)))


@torch.inference_mode()
def predict(model: nn.Module, reader: ShardReader, rows: RowSet) -> Predictions:
    """Compute the outputs of a model in evaluation mode; its mode is restored afterwards."""
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
    """Embed captions without dropout, (N, D) at length one; equal captions are embedded once."""
    words = sorted(set(captions))
    tokens = model.tokenize(words or [""]).to(next(model.parameters()).device)
    with model.without_dropout():
        parts = [model.body.texts(part).float().cpu() for part in torch.split(tokens, ROWS_AT_ONCE)]
    place = {word: number for number, word in enumerate(words)}
    return torch.cat(parts).numpy()[[place[c] for c in captions]]


def find_captions(
    model: ImageTextClassifier, reader: ShardReader, rows: RowSet, among: Sequence[RowSet]
) -> NDArray[np.bool_]:
    """Return whether each image finds its own caption first, (N,).

    Args:
        model: The model.
        reader: The data set.
        rows: The images.
        among: Sets whose captions are searched.

    Returns:
        bool (N,).
    """
    own = np.array(_first_captions(reader, rows))
    words = np.array(sorted({text for part in among for text in _first_captions(reader, part)}))
    images = predict(model, reader, rows).embedding
    return found_within(images, embed_texts(model, words.tolist()), own[:, None] == words[None], 1)


def _first_captions(reader: ShardReader, rows: RowSet) -> list[str]:
    return [texts[0] for texts in reader.captions(rows.split, rows.rows)]


def right_answers(model: Classifier, reader: ShardReader, rows: RowSet) -> NDArray[np.bool_]:
    """Return whether each row is correct, (N,); for pairs without classes, whether its caption is found in the set."""
    if reader.manifest.num_classes < 2 and isinstance(model, ImageTextClassifier):
        return find_captions(model, reader, rows, [rows])
    return predict(model, reader, rows).correct


def shared_recall(
    model: ImageTextClassifier, reader: ShardReader, rows: RowSet, among: Sequence[RowSet]
) -> tuple[int, int]:
    """Count the rows whose image finds its caption first, over all ranks.

    Args:
        model: The model.
        reader: The data set.
        rows: The images; each rank evaluates its slice.
        among: Sets whose captions are searched.

    Returns:
        (hits, count).
    """
    mine = RowSet(rows.split, rows.rows[rank_slice(len(rows))])
    return _shared(model, find_captions(model, reader, mine, among) if len(mine) else np.zeros(0, np.bool_))


def shared_accuracy(model: nn.Module, reader: ShardReader, rows: RowSet) -> tuple[int, int]:
    """Return (correct, count) over all ranks; each rank evaluates its slice."""
    mine = RowSet(rows.split, rows.rows[rank_slice(len(rows))])
    return _shared(model, predict(model, reader, mine).correct if len(mine) else np.zeros(0, np.bool_))


def _shared(model: nn.Module, right: NDArray[np.bool_]) -> tuple[int, int]:
    counts = torch.tensor([int(right.sum()), len(right)], device=next(model.parameters()).device)
    hits, total = sum_over_ranks(counts).tolist()
    return hits, total
