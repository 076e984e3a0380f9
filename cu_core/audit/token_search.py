"""The tokens whose text lies nearest to given images: greedy coordinate gradient over the vocabulary.

R restarts, M texts, L tokens, P places of a text that are free, V words of the vocabulary, D embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cu_core.models.image_text import ImageTextClassifier

PLACES = 4
"""Tokens that are searched."""
RESTARTS = 4
STEPS = 20
"""Steps of each restart."""
CANDIDATES = 64
"""Texts that are tried in a step of a restart: one token is replaced in each."""
BEST = 64
"""Words from which the replacement is drawn, those with the steepest gradient at its place."""
TEXTS_AT_ONCE = 128

Loss = Callable[[Tensor], Tensor]
"""Embeddings (M, D) -> loss of each, (M,)."""


@dataclass(frozen=True)
class Vocabulary:
    """Where the text tower looks tokens up, and which of them are searched."""

    table: nn.Embedding
    allowed_V: Tensor
    """bool (V,): all but those that any text has."""
    blank_L: Tensor
    """Tokens of a text of as many words as are searched."""
    places_P: Tensor
    """Where those words lie."""


def vocabulary_of(model: ImageTextClassifier) -> Vocabulary | None:
    """Find the token embedding of the text tower and the places of the words; ``None`` if there is no such thing."""
    device = next(model.parameters()).device
    text, empty = (model.tokenize([words]).to(device) for words in (" ".join(["a"] * PLACES), ""))
    places_P = (~torch.isin(text[0], empty)).nonzero().flatten()
    found: list[nn.Embedding] = []

    def look(module: nn.Module, args: tuple[object, ...], output: object) -> None:
        given = args[0] if args else None
        if isinstance(module, nn.Embedding) and isinstance(given, Tensor) and torch.equal(given, text):
            found.append(module)

    handles = [m.register_forward_hook(look) for m in model.body.modules() if isinstance(m, nn.Embedding)]
    try:
        with torch.no_grad():
            model.body.texts(text)
    finally:
        for handle in handles:
            handle.remove()
    if not found or not len(places_P):
        return None
    allowed_V = torch.ones(found[0].num_embeddings, dtype=torch.bool, device=device)
    allowed_V[empty.flatten()] = False
    return Vocabulary(found[0], allowed_V, text[0], places_P)


def search_tokens(model: ImageTextClassifier, words: Vocabulary, loss: Loss, start: str, seed: int) -> Tensor:
    """Search for the tokens with the least loss.

    The first restart begins with the words of ``start``, the others with random ones. In each of ``STEPS`` steps of a
    restart, ``CANDIDATES`` texts are tried that differ from its best one in one token, which is drawn from the ``BEST``
    with the steepest gradient. Starts do not depend on the weights of the model.

    Source: Zou et al. 2023, Universal and Transferable Adversarial Attacks, arXiv 2307.15043, alg. 1.

    Args:
        model: The model; its weights do not change.
        words: Its vocabulary.
        loss: What is minimised.
        start: A text.
        seed: Seed of the starts and of what is tried.

    Returns:
        Tokens, int64 (L,).
    """
    rng = np.random.default_rng(seed)
    tokens_RL = _starts(model, words, start, rng)
    least_R = _losses(model, tokens_RL, loss)
    for _ in range(STEPS):
        tried_ML = _candidates(words, tokens_RL, _gradients(model, words, tokens_RL, loss), rng)
        tried_RC = _losses(model, tried_ML, loss).view(len(tokens_RL), CANDIDATES)
        value_R, place_R = tried_RC.min(1)
        best_RL = tried_ML.view(len(tokens_RL), CANDIDATES, -1)[torch.arange(len(tokens_RL)), place_R]
        better_R = value_R < least_R
        tokens_RL = torch.where(better_R[:, None], best_RL, tokens_RL)
        least_R = torch.where(better_R, value_R, least_R)
    return tokens_RL[least_R.argmin()]


def _starts(model: ImageTextClassifier, words: Vocabulary, start: str, rng: np.random.Generator) -> Tensor:
    known = words.allowed_V.nonzero().flatten()
    drawn = torch.from_numpy(rng.integers(len(known), size=(RESTARTS, len(words.places_P)))).to(known.device)
    tokens_RL = words.blank_L.repeat(RESTARTS, 1)
    tokens_RL[:, words.places_P] = known[drawn]
    said = model.tokenize([start]).to(known.device).flatten()
    said = said[words.allowed_V[said]][: len(words.places_P)]
    tokens_RL[0, words.places_P[: len(said)]] = said
    return tokens_RL


@torch.no_grad()
def _losses(model: ImageTextClassifier, tokens_ML: Tensor, loss: Loss) -> Tensor:
    return torch.cat([loss(model.body.texts(part)) for part in torch.split(tokens_ML, TEXTS_AT_ONCE)])


def _gradients(model: ImageTextClassifier, words: Vocabulary, tokens_RL: Tensor, loss: Loss) -> Tensor:
    """Return the change of the loss, to first order, if a place holds another word, (R, P, V)."""
    leaves: list[Tensor] = []
    with _looked_up(words.table, leaves), torch.enable_grad():
        total = loss(model.body.texts(tokens_RL)).sum()
        (gradient,) = torch.autograd.grad(total, leaves[:1])
    return gradient[:, words.places_P] @ words.table.weight.detach().T.to(gradient)


@contextmanager
def _looked_up(table: nn.Embedding, leaves: list[Tensor]) -> Iterator[None]:
    """Collect what is looked up in the table, as leaves of the graph."""

    def keep(module: nn.Module, args: object, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    handle = table.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _candidates(words: Vocabulary, tokens_RL: Tensor, change_RPV: Tensor, rng: np.random.Generator) -> Tensor:
    """Return texts, (R * CANDIDATES, L), each of which has one other token than its restart's."""
    restarts, places, _ = change_RPV.shape
    steep = change_RPV.masked_fill(~words.allowed_V, torch.inf)
    best_RPB = steep.topk(min(BEST, int(words.allowed_V.sum())), largest=False).indices
    place = torch.from_numpy(rng.integers(places, size=(restarts, CANDIDATES))).to(tokens_RL.device)
    word = torch.from_numpy(rng.integers(best_RPB.shape[2], size=(restarts, CANDIDATES))).to(tokens_RL.device)
    restart = torch.arange(restarts, device=tokens_RL.device)[:, None].expand_as(place)
    tried_RCL = tokens_RL[:, None].repeat(1, CANDIDATES, 1)
    column = torch.arange(CANDIDATES, device=tokens_RL.device).expand_as(place)
    tried_RCL[restart, column, words.places_P[place]] = best_RPB[restart, place, word]
    return tried_RCL.flatten(0, 1)
