"""An image-text model of two small towers: a text is the mean of its words' vectors, an image a feature and a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cu_core.data.concepts import WORD
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.towers import ImageFeatures, Tower, Towers
from tests.unit.cu_core.planted import ids_of

LENGTH = 6
SPECIAL = ("<pad>", "<start>", "<end>", "<other>")
"""The first three have the vector 0."""


class _Body(nn.Module):
    features: Tensor

    def __init__(self, features: Tensor, vectors: Tensor):
        super().__init__()
        self.register_buffer("features", features)
        self.head = nn.Parameter(torch.eye(features.shape[1]))
        self.table = nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)
        self.positions = nn.Embedding(LENGTH, vectors.shape[1])
        self.logit_scale = nn.Parameter(torch.tensor(3.0))


class WordTowers(Towers):
    """``features`` of images by id, (ids, D); ``words``: vector of each word of the vocabulary, (D,)."""

    image_parts, linear_layers, inputs_first = ("head",), (), True

    def __init__(self, features: Any, words: Mapping[str, np.ndarray]):
        super().__init__()
        self.vocabulary = [*SPECIAL, *words]
        vectors = np.array([*words.values()])
        special = np.zeros((len(SPECIAL), vectors.shape[1]))
        special[3] = 0.2 * np.random.default_rng(0).standard_normal(vectors.shape[1])
        given = (np.asarray(features), np.concatenate([special, vectors]))
        self.body = _Body(*(torch.tensor(x, dtype=torch.float32) for x in given))
        self.tokenize = self._tokens
        self.preprocess = SimpleNamespace(size=1)  # type: ignore[assignment]

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        lines = []
        for text in texts:
            known = [self.vocabulary.index(w) if w in self.vocabulary else 3 for w in WORD.findall(text)][: LENGTH - 2]
            lines.append([1, *known, 2, *[0] * (LENGTH - 2 - len(known))])
        return torch.tensor(lines)

    def spelled(self, tokens: Tensor) -> list[str]:
        """The words of a text."""
        return [self.vocabulary[t] for t in tokens.tolist() if t >= len(SPECIAL)]

    def images(self, images: Tensor) -> ImageFeatures:
        features = self.body.features[ids_of(images)]
        return ImageFeatures(F.normalize(features @ self.body.head, dim=-1), features)

    def _embed_images(self, pixels: Tensor) -> Tensor:
        raise AssertionError("images are known by their ids")

    def _embed_texts(self, tokens: Tensor) -> Tensor:
        places = 0 * self.body.positions(torch.arange(LENGTH)[None])
        return (self.body.table(tokens) + places).sum(1)

    def blocks(self, tower: Tower) -> list[nn.Module]:
        return []

    def heads(self, tower: Tower) -> list[nn.Parameter]:
        return [self.body.head] if tower == "image" else []

    def export(self, folder: Path) -> None:
        raise AssertionError("not exported")


def word_model(features: Any, words: Mapping[str, np.ndarray], names: Sequence[str]) -> ImageTextClassifier:
    """A class is the prompt of its name."""
    return ImageTextClassifier(WordTowers(features, words), names, ["{class}"])
