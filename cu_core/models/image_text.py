"""An image-text model as a classifier: zero-shot, a class is the captions that name it.

N images, M captions, C classes, T templates, L tokens, D embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cu_core.models.classifier import Classifier
from cu_core.models.preprocess import Preprocess
from cu_core.models.towers import Towers
from cu_core.sharding import address_of, is_part
from cu_core.types import Outputs, Tokenize

KEPT_TEXTS = 200_000
"""Most captions whose embeddings are kept in memory."""


class ImageTextClassifier(Classifier):
    """Image-text model whose logits are scaled cosines between the image and each class.

    A class is the mean over templates of the class's prompts (Radford et al. 2021, arXiv 2103.00020, sec. 3.1.4). No
    gradient flows into the prompts.
    """

    foreign_prefix = "body.body."
    body: Towers
    tokenize: Tokenize
    prompts: Tensor
    """int64 (T, C, L)."""
    rows_at_once: int | None = None
    """Images or captions of one chunk; the activations of other chunks are made again in the backward pass (gradient
    cache: Gao et al. 2021, arXiv 2101.06983), and the loss is still that of the whole batch. Absent: one chunk."""

    def __init__(self, towers: Towers, class_names: Sequence[str], templates: Sequence[str]):
        nn.Module.__init__(self)
        self.body, self.tokenize = towers, towers.tokenize
        self.templates = tuple(templates)
        self.register_buffer("prompts", self._tokens_of(class_names), persistent=False)
        self._text_parts: list[nn.Parameter] | None = None
        self._classes: tuple[Any, Tensor] | None = None
        self._texts: tuple[Any, dict[bytes, Tensor]] = None, {}

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing of the image tower."""
        return self.body.preprocess

    @preprocess.setter
    def preprocess(self, value: Preprocess) -> None:
        self.body.preprocess = value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_classes": None, "_texts": (None, {})}

    def spread(self) -> None:
        """Spread the towers that train over workers, in place (FSDP2)."""
        super().spread()
        self._text_parts = self.body.parameters_of("text")

    def units(self) -> list[nn.Module]:
        """Return the modules of the towers that are sharded."""
        return self.body.units()

    def _text_state(self) -> list[tuple[int, int]]:
        """Return a value that changes with every weight of the text tower.

        Of sharded weights, this worker's parts decide: whole weights come and go. What was computed while the weights
        were gathered is not used afterwards, nor the reverse: workers must not differ in what they still have to
        compute together.
        """
        now = self.body.parameters_of("text")
        kept = now if self._text_parts is None else self._text_parts
        return [(address_of(p), p._version) for p in kept] + [(0, sum(map(is_part, now)))]

    def _tokens_of(self, class_names: Sequence[str]) -> Tensor:
        texts = [t.replace("{class}", name.replace("_", " ")) for t in self.templates for name in class_names]
        return self.tokenize(texts).view(len(self.templates), len(class_names), -1)

    def at_depths(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the one hidden feature that the towers give."""
        out = self(images)
        return [out.hidden], out.logits

    def features_of(self, class_names: Sequence[str]) -> Tensor:
        """Embed the prompts of any classes, (T, C, D) at length one, without gradient."""
        return self._features(self._tokens_of(class_names).to(self.prompts.device))

    def _features(self, prompts_TCL: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.no_grad(), self._in_full(), self.without_dropout():
            return self._embed(prompts_TCL.flatten(0, 1).clone()).view(*prompts_TCL.shape[:2], -1)

    def class_features(self) -> Tensor:
        """Embed the prompts of the model's classes, (T, C, D) at length one, without gradient.

        They are cached until a weight of the text tower changes.
        """
        state = self._text_state()
        if self._classes is None or self._classes[0] != state:
            self._classes = state, self._features(self.prompts)
        return self._classes[1]

    @contextmanager
    def without_dropout(self) -> Iterator[None]:
        """Within it, the towers are in evaluation mode; the mode of each module is restored afterwards."""
        modes = [(module, module.training) for module in self.body.modules()]
        self.body.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    @contextmanager
    def among(self, classes: Sequence[int]) -> Iterator[None]:
        """Within it, logits are those of some classes only, in their order; the other prompts are not embedded."""
        prompts, self._classes = self.prompts, None
        self.prompts = prompts[:, list(classes)]
        try:
            yield
        finally:
            self.prompts, self._classes = prompts, None

    def forward(self, images: Tensor) -> Outputs:
        """Compute the outputs of images, uint8 (N, channels, H, W); ``embedding`` has length one."""
        found = self._chunked(self.body.images, images)
        logits = _logits(self.body, found[0], self._classes_together())
        return Outputs(found[0], found[1], logits, self.body.scale, self.body.bias)

    def _classes_together(self) -> Tensor:
        """Return the mean over templates, (C, D)."""
        return F.normalize(self.class_features().mean(0), dim=-1)

    def program(self) -> nn.Module:
        """Return the image tower with fixed classes; the text tower is not needed."""
        return _ZeroShot(self.body, self._classes_together())

    def texts(self, tokens: Tensor) -> Outputs:
        """Embed captions, int64 (M, L); ``hidden`` is the embedding too.

        Equal captions are embedded once. If the text tower is not trained, they are embedded once for all steps.
        """
        different, places = torch.unique(tokens, dim=0, return_inverse=True)
        weights = self.body.parameters_of("text")
        embed = self._embed if any(p.requires_grad for p in weights) else self._kept
        embedding = embed(different)[places]
        return Outputs(embedding, embedding, embedding[:, :0], self.body.scale, self.body.bias)

    def _embed(self, tokens: Tensor) -> Tensor:
        return self._chunked(lambda part: (self.body.texts(part),), tokens)[0]

    @torch.no_grad()
    def _kept(self, tokens: Tensor) -> Tensor:
        """Embed captions by a frozen tower; embeddings are kept in memory until a weight changes."""
        if self._texts[0] != (state := self._text_state()):
            self._texts = state, {}
        kept = self._texts[1]
        names = [bytes(row) for row in tokens.to(torch.int32).cpu().numpy()]
        new = [place for place, name in enumerate(names) if name not in kept]
        if new:
            if len(kept) + len(new) > KEPT_TEXTS:
                kept.clear()
                new = list(range(len(names)))
            # What is kept may be used in training later.
            with torch.inference_mode(False), self._in_full(), self.without_dropout():
                kept.update(zip([names[place] for place in new], self._embed(tokens[new].clone()), strict=True))
        return torch.stack([kept[name] for name in names]) if names else self._embed(tokens)

    def kept_texts(self) -> dict[str, Any]:
        """Return ``tokens`` int32 (M, L) and ``embeddings`` (M, D) of the captions in memory; empty if none are."""
        kept = self._texts[1]
        if not kept or self._texts[0] != self._text_state():
            return {}
        tokens = np.stack([np.frombuffer(name, np.int32) for name in kept])
        return {"tokens": tokens, "embeddings": torch.stack(list(kept.values())).cpu().numpy()}

    def keep_texts(self, tokens: np.ndarray, embeddings: np.ndarray) -> None:
        """Fill the memory with embeddings that the same weights made."""
        device = self.prompts.device
        kept = {bytes(row): torch.from_numpy(found).to(device) for row, found in zip(tokens, embeddings, strict=True)}
        self._texts = self._text_state(), kept

    def _in_full(self) -> torch.autocast:
        """Disable autocast: what is kept must not depend on the precision of the first caller."""
        return torch.autocast(self.prompts.device.type, enabled=False)

    def _chunked(self, tower: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[Tensor, ...]:
        if not len(rows):  # a rank without rows; transformers cannot forward none
            return tuple(x[:0] for x in tower(rows.new_zeros(1, *rows.shape[1:])))
        size = self.rows_at_once
        if size is None or len(rows) <= size:
            return tower(rows)
        again = torch.is_grad_enabled()
        parts = [checkpoint(tower, p, use_reentrant=False) if again else tower(p) for p in torch.split(rows, size)]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _logits(towers: Towers, images_ND: Tensor, classes_CD: Tensor) -> Tensor:
    logits = towers.scale * images_ND @ classes_CD.to(images_ND).T
    return logits if towers.bias is None else logits + towers.bias


class _ZeroShot(nn.Module):
    """Maps normalised images to logits of fixed classes, without the text tower."""

    classes: Tensor

    def __init__(self, towers: Towers, classes_CD: Tensor):
        super().__init__()
        self.towers = towers
        self.register_buffer("classes", classes_CD.clone())

    def forward(self, pixels: Tensor) -> Tensor:
        return _logits(self.towers, self.towers.embed(pixels), self.classes)
