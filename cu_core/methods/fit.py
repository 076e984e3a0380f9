"""The loss a model was trained with: cross-entropy of a classifier, the contrast of pairs of an image-text model."""

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
    """At least float32: no loss is computed in half precision."""
    return x.float() if x.itemsize < 4 else x


def fit_share(out: Sets, parts: Mapping[str, Batch], name: str, count: int, against: Sequence[str] = ()) -> Tensor:
    """This rank's share of the mean loss of the rows ``name``, ``count`` of them over all ranks.

    Pairs are contrasted with those of the same set and of the sets ``against``, over all ranks. Every rank calls it.
    """
    if parts[name].tokens is None:
        return cross_entropy_share(out[name].logits, parts[name].labels, count)
    gallery = [name, *against]
    return pair_share(out, name, gallery, same_text(*caption_numbers(parts[name], [parts[g] for g in gallery])), count)


def pair_share(out: Sets, name: str, gallery: Sequence[str], same_nM: Tensor, count: int) -> Tensor:
    """The same for given matches: ``same_nM`` says which rows of the gathered ``gallery`` match a local row. Two
    directions, halved; the sigmoid loss has one."""
    forward = image_to_text_sum(out, name, gallery, same_nM)
    if out[name].bias is not None:
        return forward / max(count, 1)
    texts = in_full(out[f"{name} {TEXTS}"].embedding)
    backward = info_nce_sum(texts, gather_embeddings(out, gallery), same_nM, scale_of(out[name]))
    return (forward + backward) / 2 / max(count, 1)


def image_to_text_sum(out: Sets, name: str, gallery: Sequence[str], same_nM: Tensor) -> Tensor:
    """Sum over local images of their contrast with the captions of the gathered ``gallery``."""
    images, scale, bias = in_full(out[name].embedding), scale_of(out[name]), out[name].bias
    texts = gather_embeddings(out, [f"{g} {TEXTS}" for g in gallery])
    if bias is not None:
        return sigmoid_sum(images, texts, same_nM, scale, bias)
    return info_nce_sum(images, texts, same_nM, scale)


def scale_of(out: Outputs) -> Tensor:
    """Of an image-text model."""
    assert out.scale is not None
    return out.scale


def gather_embeddings(out: Sets, names: Sequence[str]) -> Tensor:
    """(M, D): rows of these sets over all ranks, with gradient."""
    return torch.cat([gather_rows(in_full(out[name].embedding)) for name in names])


def caption_numbers(part: Batch, gallery: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """(n,) of local rows and (M,) of the gallery's over all ranks: a number for each caption, the same for the same."""
    tokens = [_tokens(part), *(gather_rows(_tokens(g)) for g in gallery)]
    _, numbers = torch.unique(torch.cat(tokens), dim=0, return_inverse=True)
    return numbers[: len(part)], numbers[len(part) :]


def _tokens(part: Batch) -> Tensor:
    assert part.tokens is not None
    return part.tokens
