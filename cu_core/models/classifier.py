"""Common interface of classifiers: embedding, hidden feature and logits; one pass for forget and retain rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cu_core.errors import UserError
from cu_core.models.batch_norm import set_first_row
from cu_core.models.preprocess import Preprocess
from cu_core.sharding import shard
from cu_core.types import TEXTS, Outputs, Tokenize

ImageSets = Mapping[str, Tensor]
"""Named sets of images, uint8 (N, channels, H, W), and of captions, int64 (N, L)."""
Forward = Callable[[ImageSets], dict[str, Outputs]]
"""Named sets -> their outputs, in one pass of the model."""


INPUT = ":input"
"""Ending of the name of a layer whose input, not its output, is read."""


def _channels_first(x: Any) -> Tensor:
    """Return the first tensor of a layer's output, with the channels of (N, H, W, D) moved before the square (H, W)."""
    first: Tensor = x if isinstance(x, Tensor) else x[0]
    channels_last = first.dim() == 4 and first.shape[1] == first.shape[2] != first.shape[3]
    return first.movedim(-1, 1) if channels_last else first


def _pooled(output: Any) -> Tensor:
    """Pool (N, D, H, W), (N, H, W, D), (N, tokens, D) or (N, D) to (N, D)."""
    x = _channels_first(output)
    if x.dim() == 4:
        return x.mean((2, 3))
    return x.mean(1) if x.dim() == 3 else x


def _quarters(output: Any) -> Tensor:
    """Pool (N, D, H, W) to (N, 4 D), means over the quarters of the image; other shapes as ``_pooled``."""
    x = _channels_first(output)
    return F.adaptive_avg_pool2d(x, 2).flatten(1) if x.dim() == 4 else _pooled(x)


class Classifier(nn.Module):
    """Wraps ``body``, which maps normalised images to logits, and reads two of its layers.

    Raises:
        UserError: ``body`` has no layer of that name.
    """

    tokenize: Tokenize | None = None
    """Of models that read captions."""
    foreign_prefix = "body."
    """Under which names of a checkpoint of the plain model lie."""
    objective = "cross_entropy"
    """What an original of its kind is trained with (``train.objective``)."""
    heads: tuple[str, ...] = ()
    """Final layers, one for each class an output, where they are known."""

    def __init__(self, body: nn.Module, embedding_layer: str, hidden_layer: str, preprocess: Preprocess):
        super().__init__()
        names = dict(body.named_modules())
        for layer in (embedding_layer, hidden_layer):
            if layer.removesuffix(INPUT) not in names:
                raise UserError(f"the model has no layer {layer!r}; its layers: {', '.join(list(names)[1:40])}.")
        self.body = body
        self.layers = (embedding_layer, hidden_layer)
        self.depths: tuple[str, ...] = (hidden_layer,)
        """Layers from low to about three quarters of the depth, where the model has names for them."""
        self.preprocess = preprocess

    def forward(self, images: Tensor) -> Outputs:
        """Compute embedding, hidden feature and logits of images, uint8 (N, channels, H, W)."""
        seen, logits = self._read(images, self.layers, _pooled)
        return Outputs(seen[self.layers[0]], seen[self.layers[1]], logits)

    def at_depths(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute features at several depths.

        Args:
            images: uint8 (N, channels, H, W).

        Returns:
            A feature (N, D_k) of each of ``depths``, and logits (N, C).
        """
        seen, logits = self._read(images, self.depths, _quarters)
        return [seen[name] for name in self.depths], logits

    def features_at(self, images: Tensor, layer: str) -> Tensor:
        """Compute the pooled output of a layer, (N, D), or with the ending ``:input`` what it reads."""
        return self._read(images, (layer,), _pooled)[0][layer]

    def _read(
        self, images: Tensor, layers: Sequence[str], pool: Callable[[Any], Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the pooled outputs of these layers, and the logits."""
        seen: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
            inside = name.endswith(INPUT)
            return lambda module, args, output: seen.__setitem__(name, pool(args if inside else output))

        # Hooks live for this call only, so that copies and pickles of the model hold none.
        handles = [self.body.get_submodule(n.removesuffix(INPUT)).register_forward_hook(keep(n)) for n in layers]
        try:
            return seen, self.body(self.preprocess(images, next(self.parameters()).dtype))
        finally:
            for handle in handles:
                handle.remove()

    def spread(self) -> None:
        """Spread the weights over workers, in place (FSDP2)."""
        shard(self.units())

    def units(self) -> list[nn.Module]:
        """Return the modules that are sharded, each as one piece; inner ones first.

        They are the members of the outermost lists of modules (the blocks of a transformer), and the whole body.
        """
        return [*_listed(self.body), self.body]

    def program(self) -> nn.Module:
        """Return the module that maps normalised images to logits, for serving."""
        return self.body

    def texts(self, tokens: Tensor) -> Outputs:
        """Embed captions, int64 (M, L); only image-text models can.

        Raises:
            TypeError: The model reads no captions.
        """
        raise TypeError(f"{type(self).__name__} reads no captions")


def _listed(part: nn.Module) -> list[nn.Module]:
    """Return the members with weights of the outermost lists of modules in ``part``."""
    found: list[nn.Module] = []
    for child in part.children():
        member = isinstance(part, nn.Sequential | nn.ModuleList) and not isinstance(child, nn.ModuleList)
        if not member:
            found += _listed(child)
        elif any(True for _ in child.parameters()):
            found.append(child)
    return found


class Predictor(nn.Module):
    """Maps images with values 0..255 (any float or integer type) to logits, preprocessing included; for serving."""

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.body, self.preprocess = classifier.program(), classifier.preprocess

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits, (N, C)."""
        return self.body(self.preprocess(images))  # type: ignore[no-any-return]


class JointForward(nn.Module):
    """Forwards several image sets in one concatenated pass, so that batch statistics include all; captions likewise.

    In batch-norm mode ``retain``, only the set of that name, given last, feeds the statistics.
    """

    def __init__(self, model: Classifier):
        super().__init__()
        self.model = model

    def forward(self, sets: ImageSets) -> dict[str, Outputs]:
        """Forward named sets; sets whose name ends with ``TEXTS`` are captions."""
        images = {name: x for name, x in sets.items() if not name.endswith(TEXTS)}
        texts = {name: x for name, x in sets.items() if name.endswith(TEXTS)}
        sizes = [len(x) for x in images.values()]
        set_first_row(self.model, sum(sizes[:-1]) if "retain" in images else None)
        found = _split(self.model(torch.cat(list(images.values()))), images)
        return found | (_split(self.model.texts(torch.cat(list(texts.values()))), texts) if texts else {})


def _split(out: Outputs, sets: ImageSets) -> dict[str, Outputs]:
    sizes = [len(x) for x in sets.values()]
    parts = zip(*(torch.split(x, sizes) for x in (out.embedding, out.hidden, out.logits)), strict=True)
    return {name: Outputs(e, h, x, out.scale, out.bias) for name, (e, h, x) in zip(sets, parts, strict=True)}
