from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from cu_core.data.forget_split import ForgetSplit, RowLimits
from cu_core.data.requests import ByClass, ByRandom, resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.methods.bank import bank_rows
from cu_core.methods.base import Preparation
from cu_core.methods.forests import LEAST, PENALTY, TREES, forest_shares

BANK = 300


class Sums(torch.nn.Module):
    """Two depths: sums over rows and over columns of the image; the logits are its first pixels."""

    tokenize = None

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def at_depths(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        x = images.float()
        return [x.sum((1, 2)), x.sum((1, 3))], x.flatten(1)[:, :10] / 10


def prepared(reader: ShardReader, request: Any) -> Preparation:
    split = ForgetSplit(reader, resolve_request(request, reader), seed=0, limits=RowLimits(100, 500))
    return Preparation(Sums(), None, split, 4, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("gone", [(3,), (3, 8), ()])
def test_shares_are_the_squared_geometric_mean_of_head_and_forests(reader: ShardReader, gone: tuple[int, ...]) -> None:
    prep = prepared(reader, ByClass(classes=gone) if gone else ByRandom(count=30, seed=1))
    rows, bank = prep.split.forget.rows, bank_rows(prep, BANK)
    found = forest_shares(prep, BANK)
    assert found.rows == len(rows) + BANK
    assert found.sample_ids.tolist() == sorted(prep.split.forget.sample_ids.tolist())

    labels = reader.labels("train", bank)
    pictures = {part: reader.images("train", which).float().numpy()[:, 0] for part, which in (("f", rows), ("b", bank))}
    views = [lambda x: x.reshape(len(x), -1), lambda x: x.sum(1), lambda x: x.sum(2)]
    answers = []
    for view in views:
        trees = ExtraTreesClassifier(TREES, random_state=4).fit(view(pictures["b"]), labels)
        whole = np.zeros((len(rows), 10))
        whole[:, trees.classes_] = trees.predict_proba(view(pictures["f"]))
        answers.append(whole + LEAST)
    if gone:
        logits = pictures["f"].reshape(len(rows), -1)[:, :10].astype(np.float64) / 10
        answers.append(np.exp(logits - logits.max(1, keepdims=True)))
    else:
        last = views[-1]
        mean, spread = last(pictures["b"]).mean(0), last(pictures["b"]).std(0)
        scaled = {part: (last(x) - mean) / np.where(spread > 0, spread, 1) for part, x in pictures.items()}
        head = LogisticRegression(C=PENALTY, max_iter=300).fit(scaled["b"], labels)
        answers.append(head.predict_proba(scaled["f"]))
    kept = [c for c in range(10) if c not in gone]
    expected = np.zeros((len(rows), 10))
    for i in range(len(rows)):
        product = np.ones(len(kept))
        for answer in answers:
            row = answer[i, kept] / answer[i, kept].sum()
            product *= np.maximum(row, 1e-6)
        power = product ** (2 / len(answers))
        expected[i, kept] = power / power.sum()
    order = np.argsort(prep.split.forget.sample_ids)
    np.testing.assert_allclose(found.shares.numpy(), expected[order], atol=2e-4)
    assert (found.shares[:, list(gone)] == 0).all()


class Certain(Sums):
    """Logits so far apart that all probability lies on a forgotten class."""

    def at_depths(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        features, logits = super().at_depths(images)
        return features, logits.index_fill(1, torch.tensor([3]), 500.0)


def test_a_head_that_is_certain_of_the_forgotten_class_still_gives_a_target(reader: ShardReader) -> None:
    prep = prepared(reader, ByClass(classes=(3,)))
    plain = forest_shares(prep, BANK).shares
    certain = forest_shares(Preparation(Certain(), None, prep.split, 4, {}), BANK).shares  # type: ignore[arg-type]
    torch.testing.assert_close(certain, plain)


def test_excess_is_how_much_surer_the_original_is(reader: ShardReader) -> None:
    prep = prepared(reader, ByRandom(count=30, seed=1))
    found = forest_shares(prep, BANK)
    order = np.argsort(prep.split.forget.sample_ids)
    rows = prep.split.forget.rows[order]
    labels = torch.from_numpy(reader.labels("train", rows))
    probs = (reader.images("train", rows).flatten(1)[:, :10].float() / 10).softmax(1)
    expected = (probs - found.shares).gather(1, labels[:, None])[:, 0].clamp_min(0)
    torch.testing.assert_close(found.excess, expected)
