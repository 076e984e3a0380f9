"""The training loss of a model: cross-entropy of a classifier, contrast of pairs of an image-text model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cu_core.dist import gather_rows
from cu_core.losses.blocks import sum_by_rows
from cu_core.losses.classification import cross_entropy_share
from cu_core.losses.image_text import info_nce_sum, same_text, sigmoid_sum
from cu_core.types import TEXTS, Batch, Outputs

Sets = Mapping[str, Outputs]
Numbers = tuple[Tensor, Tensor]
"""Of local rows, (n,), and of a gallery over all ranks, (M,): rows of the same number match."""


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
    return pair_share(out, name, gallery, caption_numbers(parts[name], [parts[g] for g in gallery]), count)


def pair_share(out: Sets, name: str, gallery: Sequence[str], numbers: Numbers, count: int) -> Tensor:
    """Compute this rank's share of the mean loss of pairs for given matches.

    It is the half of the sum of two directions; the sigmoid loss has only one direction.

    Args:
        out: Outputs of the local rows, by set.
        name: The set.
        gallery: Sets that it is contrasted with.
        numbers: A local row matches the rows of the gathered ``gallery`` that have its number.
        count: Number of rows of the set over all ranks.

    Returns:
        Scalar.
    """
    forward = image_to_text_sum(out, name, gallery, numbers)
    if out[name].bias is not None:
        return forward / max(count, 1)
    texts, images = in_full(out[f"{name} {TEXTS}"].embedding), gather_embeddings(out, gallery)
    backward = _contrast(texts, images, numbers, scale_of(out[name]), None)
    return (forward + backward) / 2 / max(count, 1)


def image_to_text_sum(out: Sets, name: str, gallery: Sequence[str], numbers: Numbers) -> Tensor:
    """Compute the sum over local images of their contrast with the captions of the gathered ``gallery``."""
    texts = gather_embeddings(out, [f"{g} {TEXTS}" for g in gallery])
    return _contrast(in_full(out[name].embedding), texts, numbers, scale_of(out[name]), out[name].bias)


def _contrast(local_nD: Tensor, all_MD: Tensor, numbers: Numbers, scale: Tensor, bias: Tensor | None) -> Tensor:
    """Sum the contrast of local rows with all keys, in blocks of rows."""
    own_n, all_M = numbers

    def part(rows: slice) -> Tensor:
        same = same_text(own_n[rows], all_M)
        if bias is not None:
            return sigmoid_sum(local_nD[rows], all_MD, same, scale, bias)
        return info_nce_sum(local_nD[rows], all_MD, same, scale)

    return sum_by_rows(len(local_nD), len(all_MD), part)


def scale_of(out: Outputs) -> Tensor:
    """Return the scale of an image-text model."""
    assert out.scale is not None
    return out.scale


def gather_embeddings(out: Sets, names: Sequence[str]) -> Tensor:
    """Gather the rows of these sets over all ranks, with gradient, (M, D)."""
    return torch.cat([gather_rows(in_full(out[name].embedding)) for name in names])


def caption_numbers(part: Batch, gallery: Sequence[Batch]) -> Numbers:
    """Number the captions, equal captions alike: (n,) of the local rows and (M,) of the gallery's over all ranks."""
    tokens = [_tokens(part), *(gather_rows(_tokens(g)) for g in gallery)]
    _, numbers = torch.unique(torch.cat(tokens), dim=0, return_inverse=True)
    return numbers[: len(part)], numbers[len(part) :]


def _tokens(part: Batch) -> Tensor:
    assert part.tokens is not None
    return part.tokens
