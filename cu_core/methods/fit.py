"""The training loss of a model: cross-entropy of a classifier, contrast of pairs of an image-text model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cu_core.dist import gather_rows
from cu_core.losses.classification import cross_entropy_share
from cu_core.losses.image_text import info_nce_sum, same_text, sigmoid_sum
from cu_core.types import TEXTS, Batch, Outputs

Sets = Mapping[str, Outputs]


def in_full(x: Tensor) -> Tensor:
    """Convert to at least float32, since no loss is computed in half precision."""
    return x.float() if x.itemsize < 4 else x


def fit_share(out: Sets, parts: Mapping[str, Batch], name: str, count: int, against: Sequence[str] = ()) -> Tensor:
    """Compute this rank's share of the mean training loss of a set of rows. Every rank calls it.

    Args:
        out: Outputs of the local rows, by set.
        parts: The local rows, by set.
        name: The set.
        count: Number of its rows over all ranks.
        against: Pairs are contrasted with those of the same set and of these sets, over all ranks.

    Returns:
        Scalar.
    """
    if parts[name].tokens is None:
        return cross_entropy_share(out[name].logits, parts[name].labels, count)
    gallery = [name, *against]
    return pair_share(out, name, gallery, same_text(*caption_numbers(parts[name], [parts[g] for g in gallery])), count)


def pair_share(out: Sets, name: str, gallery: Sequence[str], same_nM: Tensor, count: int) -> Tensor:
    """Compute this rank's share of the mean loss of pairs for given matches.

    It is the half of the sum of two directions; the sigmoid loss has only one direction.

    Args:
        out: Outputs of the local rows, by set.
        name: The set.
        gallery: Sets that it is contrasted with.
        same_nM: Which rows of the gathered ``gallery`` match a local row, bool (n, M).
        count: Number of rows of the set over all ranks.

    Returns:
        Scalar.
    """
    forward = image_to_text_sum(out, name, gallery, same_nM)
    if out[name].bias is not None:
        return forward / max(count, 1)
    texts = in_full(out[f"{name} {TEXTS}"].embedding)
    backward = info_nce_sum(texts, gather_embeddings(out, gallery), same_nM, scale_of(out[name]))
    return (forward + backward) / 2 / max(count, 1)


def image_to_text_sum(out: Sets, name: str, gallery: Sequence[str], same_nM: Tensor) -> Tensor:
    """Compute the sum over local images of their contrast with the captions of the gathered ``gallery``."""
    images, scale, bias = in_full(out[name].embedding), scale_of(out[name]), out[name].bias
    texts = gather_embeddings(out, [f"{g} {TEXTS}" for g in gallery])
    if bias is not None:
        return sigmoid_sum(images, texts, same_nM, scale, bias)
    return info_nce_sum(images, texts, same_nM, scale)


def scale_of(out: Outputs) -> Tensor:
    """Return the scale of an image-text model."""
    assert out.scale is not None
    return out.scale


def gather_embeddings(out: Sets, names: Sequence[str]) -> Tensor:
    """Gather the rows of these sets over all ranks, with gradient, (M, D)."""
    return torch.cat([gather_rows(in_full(out[name].embedding)) for name in names])


def caption_numbers(part: Batch, gallery: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """Number the captions, equal captions alike: (n,) of the local rows and (M,) of the gallery's over all ranks."""
    tokens = [_tokens(part), *(gather_rows(_tokens(g)) for g in gallery)]
    _, numbers = torch.unique(torch.cat(tokens), dim=0, return_inverse=True)
    return numbers[: len(part)], numbers[len(part) :]


def _tokens(part: Batch) -> Tensor:
    assert part.tokens is not None
    return part.tokens
