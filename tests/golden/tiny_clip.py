"""A float64 image-text model with its backward pass written by hand, and captioned batches.

Image: mean over three tokens of tanh(W x + b), projected; text: mean of word vectors, projected; both at length one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cu_core.methods.base import Method, StepContext
from cu_core.models.classifier import JointForward
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.preprocess import Preprocess
from cu_core.models.towers import Tower, Towers
from cu_core.types import Batch, Losses, RequestKind, UnlearnBatch
from tests.golden.plain_losses import Array, through_unit, unit_rows
from tests.golden.tiny_model import MEAN, STD, Gradients, same, weights_of

TOKENS, WIDTH, DIM, WORDS, LENGTH = 3, 5, 4, 40, 4
CLASSES = ("red", "green", "blue", "grey")
TEMPLATES = ("a {class}", "{class}!")
SCALARS = {"logit_scale": 1.3, "logit_bias": -2.0}
LABELS: dict[RequestKind, tuple[list[int], list[int]]] = {
    "class": ([1, 2, 1, 2], [0, 3, 3, 0, 3, 0]),
    "sample": ([0, 1, 1, 3], [2, 0, 3, 1, 2, 0, 2]),
}
CAPTIONS: dict[RequestKind, tuple[list[int], list[int]]] = {
    "class": ([1, 2, 1, 5], [7, 8, 8, 5, 9, 7]),
    "sample": ([1, 2, 1, 5], [7, 2, 8, 8, 7, 1, 9]),
}
"""Captions by number: forget rows share one, retain rows share two, and one is on both sides."""


def tokenize(texts: Sequence[str]) -> Tensor:
    return torch.tensor([[ord(c) % WORDS for c in f"{text:<{LENGTH}}"[-LENGTH:]] for text in texts])


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.proj = nn.Sequential(nn.Linear(3, WIDTH), nn.Tanh()), nn.Parameter(torch.zeros(WIDTH, DIM))


class TinyBody(nn.Module):
    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.visual, self.words = Visual(), nn.Parameter(torch.zeros(WORDS, WIDTH))
        self.text_projection, self.logit_scale = nn.Parameter(torch.zeros(WIDTH, DIM)), nn.Parameter(torch.zeros(()))
        if sigmoid:
            self.logit_bias = nn.Parameter(torch.zeros(()))


class TinyTowers(Towers):
    image_parts, linear_layers, inputs_first = ("visual.",), (), True

    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.body, self.tokenize = TinyBody(sigmoid), tokenize
        self.preprocess, self.loss = Preprocess(TOKENS, (MEAN,), (STD,)), "sigmoid" if sigmoid else "softmax"

    def blocks(self, tower: Tower) -> list[nn.Module]:
        return [self.body.visual.block]

    def heads(self, tower: Tower) -> list[nn.Parameter]:
        return [self.body.visual.proj if tower == "image" else self.body.text_projection]

    def _embed_images(self, pixels: Tensor) -> Tensor:
        return self.body.visual.block(pixels.flatten(1, 2)).mean(1) @ self.body.visual.proj

    def _embed_texts(self, tokens: Tensor) -> Tensor:
        return self.body.words[tokens].mean(1) @ self.body.text_projection

    def export(self, folder: Path) -> None:
        raise AssertionError("not exported")


def tiny_clip(seed: int, texts_train: bool, sigmoid: bool = False) -> ImageTextClassifier:
    model = ImageTextClassifier(TinyTowers(sigmoid).double(), CLASSES, TEMPLATES)
    draw = np.random.default_rng([seed, 4])
    with torch.no_grad():
        for name, p in model.named_parameters():
            value = SCALARS.get(name.removeprefix("body.body."), draw.normal(size=tuple(p.shape)))
            p.copy_(torch.from_numpy(np.asarray(value)))
            p.requires_grad_(texts_train or "visual" in name or "logit" in name)
    return model


@dataclass(frozen=True)
class Seen:
    """What a tower makes of its rows: all that the backward pass needs."""

    inputs: Array
    inner: Array
    mean: Array
    raw: Array
    unit: Array


def images_seen(weights: Gradients, images: Tensor) -> Seen:
    w = {n.removeprefix("body.body."): v for n, v in weights.items()}
    pixels = (images[:, 0].numpy().astype(np.float64) / 255 - MEAN) / STD
    inner = np.tanh(pixels @ w["visual.block.0.weight"].T + w["visual.block.0.bias"])
    mean = inner.mean(1)
    raw = mean @ w["visual.proj"]
    return Seen(pixels, inner, mean, raw, unit_rows(raw))


def texts_seen(weights: Gradients, tokens: Tensor) -> Seen:
    words = weights["body.body.words"][tokens.numpy()]
    mean = words.mean(1)
    raw = mean @ weights["body.body.text_projection"]
    return Seen(tokens.numpy(), words, mean, raw, unit_rows(raw))


def images_backward(weights: Gradients, seen: Seen, d_unit: Array) -> Gradients:
    d_raw = through_unit(seen.raw, d_unit)
    d_mean = d_raw @ weights["body.body.visual.proj"].T
    d_inner = d_mean[:, None, :] / TOKENS * (1 - seen.inner**2)
    found = {"visual.proj": seen.mean.T @ d_raw, "visual.block.0.bias": d_inner.sum((0, 1))}
    found["visual.block.0.weight"] = np.einsum("ntw,ntp->wp", d_inner, seen.inputs)
    return {f"body.body.{n}": g for n, g in found.items()}


def texts_backward(weights: Gradients, seen: Seen, d_unit: Array) -> Gradients:
    d_raw = through_unit(seen.raw, d_unit)
    d_mean = d_raw @ weights["body.body.text_projection"].T
    words = np.zeros((WORDS, WIDTH))
    for row, tokens in enumerate(seen.inputs):
        for token in tokens:
            words[int(token)] += d_mean[row] / LENGTH
    return {"body.body.words": words, "body.body.text_projection": seen.mean.T @ d_raw}


@dataclass(frozen=True)
class ClipCase:
    """A model, the original, and captioned batches, drawn from a seed."""

    seed: int
    kind: RequestKind
    texts_train: bool
    sigmoid: bool = False
    bounds: tuple[float, float] = (0.1, 0.3)
    """Floor and ceiling."""
    given: tuple[ImageTextClassifier, ImageTextClassifier, UnlearnBatch] | None = None

    def __post_init__(self) -> None:
        models = (tiny_clip(10 * self.seed + n, self.texts_train, self.sigmoid) for n in range(2))
        draw = np.random.default_rng([self.seed, 6])
        captions = draw.integers(WORDS, size=(10, LENGTH))

        def part(labels: list[int], numbers: list[int], first: int) -> Batch:
            images = torch.from_numpy(draw.integers(256, size=(len(labels), 1, TOKENS, TOKENS), dtype=np.uint8))
            ids = torch.arange(first, first + 5 * len(labels), 5)
            return Batch(images, torch.tensor(labels), ids, torch.from_numpy(captions[numbers]))

        rows = [part(x, c, 70 * n) for n, (x, c) in enumerate(zip(LABELS[self.kind], CAPTIONS[self.kind], strict=True))]
        object.__setattr__(self, "given", self.given or (*models, UnlearnBatch(*rows)))

    @property
    def batch(self) -> UnlearnBatch:
        assert self.given is not None
        return self.given[2]

    @property
    def captions(self) -> dict[str, list[int]]:
        return dict(zip(("forget", "retain"), CAPTIONS[self.kind], strict=True))

    def model(self, number: int = 0) -> ImageTextClassifier:
        assert self.given is not None
        return self.given[number]  # type: ignore[return-value]

    @property
    def forget_classes(self) -> tuple[int, ...]:
        return (1, 2) if self.kind == "class" else ()

    def context(self) -> StepContext:
        state = {
            n: torch.tensor(b, dtype=torch.float64) for n, b in zip(("floor", "ceiling"), self.bounds, strict=True)
        }
        reference = torch.no_grad()(JointForward(self.model(1)))
        shared: dict[str, Any] = {"num_classes": 4, "seed": 17, "step": 0, "max_steps": 10, "learning_rate": 0.1}
        return StepContext(
            forward=JointForward(self.model()), model=self.model(), reference=reference, untrained=None,
            request_kind=self.kind, forget_classes=self.forget_classes, state=state, **shared,
        )  # fmt: skip

    def seen(self, number: int = 0) -> dict[str, Seen]:
        """Of the forget and retain rows, images and ``... texts``."""
        weights, out = weights_of(self.model(number)), {}
        for name, part in self.batch.parts.items():
            assert part.tokens is not None
            out[name] = images_seen(weights, part.images)
            out[f"{name} texts"] = texts_seen(weights, part.tokens)
        return out

    def check(
        self, method: Method, loss: float, upstream: Mapping[str, Array], scale: float, bias: float = 0
    ) -> Losses:
        """Loss and gradients; ``upstream`` has those of unit embeddings, ``scale`` and ``bias`` those of the two."""
        model, weights = self.model(), weights_of(self.model())
        model.zero_grad()
        losses = method.losses(self.context(), self.batch)
        losses.total.backward()
        wanted = {n: np.zeros_like(w) for n, w in weights.items()}
        for name, seen in self.seen().items():
            backward = texts_backward if name.endswith("texts") else images_backward
            if name in upstream:
                for n, g in backward(weights, seen, upstream[name]).items():
                    wanted[n] = wanted[n] + g * (self.texts_train or "visual" in n)
        wanted["body.body.logit_scale"] = np.asarray(scale * np.exp(weights["body.body.logit_scale"]))
        if self.sigmoid:
            wanted["body.body.logit_bias"] = np.asarray(bias)
        np.testing.assert_allclose(losses.total.item(), loss, rtol=1e-10)
        found = {n: p.grad for n, p in model.named_parameters()}
        same({n: np.zeros_like(weights[n]) if g is None else g.numpy() for n, g in found.items()}, wanted)
        return losses

    def at(self, **changes: Any) -> ClipCase:
        return replace(self, **changes)
