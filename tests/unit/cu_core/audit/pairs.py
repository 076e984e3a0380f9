"""An image-text model that is two tables: image features by sample_id, text features by caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import Outputs
from tests.unit.cu_core.planted import ids_of


class _Body(nn.Module):
    def __init__(self, vectors: Tensor):
        super().__init__()
        self.vectors = nn.Parameter(vectors)
        self.preprocess = SimpleNamespace(size=1)

    def texts(self, tokens: Tensor) -> Tensor:
        return self.vectors[tokens[:, 0]]


class PlantedPairs(ImageTextClassifier):
    """``images`` (ids, D); ``texts``: features of captions and of prompts; ``prompts``: captions by template and
    class."""

    def __init__(self, images: Any, texts: Mapping[str, Sequence[float]], prompts: Sequence[Sequence[str]]):
        nn.Module.__init__(self)
        self.words = list(texts)
        self.tokenize = lambda captions: torch.tensor([[self.words.index(c) if c else 0] for c in captions])  # type: ignore[assignment]
        self.body = _Body(torch.tensor(np.array(list(texts.values()), np.float32)))  # type: ignore[assignment]
        self.templates = tuple(f"{{class}} {n}" for n in range(len(prompts)))
        self.prompts = torch.stack([self.tokenize(line) for line in prompts])
        self.images = torch.tensor(np.asarray(images, np.float32))

    def class_features(self) -> Tensor:
        return torch.stack([self.body.texts(line) for line in self.prompts]).detach()

    def features_of(self, class_names: Sequence[str]) -> Tensor:
        lines = [self.tokenize([t.replace("{class}", name) for name in class_names]) for t in self.templates]
        return torch.stack([self.body.texts(line) for line in lines]).detach()

    def forward(self, images: Tensor) -> Outputs:
        found = self.images[ids_of(images)]
        return Outputs(found, found, found @ self.class_features().mean(0).T)
