"""A vocabulary of 200 words, one of which lies along what is searched for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn

from cu_core.audit import token_search as module
from cu_core.audit.token_search import PLACES, search_tokens, vocabulary_of
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.published_towers import published_towers
from cu_core.models.towers import OpenClip
from tests.golden.tiny_clip import tiny_clip
from tests.unit.cu_core.audit.words import SPECIAL, word_model
from tests.unit.cu_core.models.test_published_towers import towers_in
from tests.unit.cu_core.models.test_towers import make

WIDTH, GOAL = 16, 123


def model_of(seed: int = 0) -> ImageTextClassifier:
    vectors = np.random.default_rng(seed).standard_normal((200, WIDTH))
    words = {f"w{i}": vector for i, vector in enumerate(vectors)} | {"a": vectors[0], "o": vectors[1]}
    return word_model(np.zeros((1, WIDTH)), words, ["w1", "w2"])


def towards(goal_D: Tensor, seen: list[int] | None = None) -> Any:
    def loss(texts_MD: Tensor) -> Tensor:
        if seen is not None:
            seen.append(len(texts_MD))
        return 1 - texts_MD @ (goal_D / goal_D.norm())

    return loss


def test_the_places_of_words_and_the_words_are_found() -> None:
    model = model_of()
    words = vocabulary_of(model)
    assert words is not None
    assert words.table is model.body.body.table  # and not the positions
    assert words.places_P.tolist() == list(range(1, 1 + PLACES))
    assert words.allowed_V.nonzero().flatten().tolist()[:2] == [3, 4]  # pad, start and end are in any text
    assert len(words.allowed_V) == 202 + len(SPECIAL)


def test_the_word_that_lies_along_the_goal_is_found_from_any_start() -> None:
    model = model_of()
    words = vocabulary_of(model)
    assert words is not None
    goal = model.body.body.table.weight.detach()[len(SPECIAL) + GOAL]
    found = search_tokens(model, words, towards(goal), "w5 w6", 0)
    assert float((model.body.texts(found[None]) @ goal / goal.norm()).item()) > 0.9
    assert f"w{GOAL}" in model.body.spelled(found)
    kept = {i for i in range(len(found)) if i not in words.places_P.tolist()}
    assert all(found[i] == words.blank_L[i] for i in kept)


def test_the_search_starts_alike_for_each_model_and_changes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 0)
    one, other = model_of(), model_of(1)
    goal = torch.ones(WIDTH)
    starts = []
    for model in (one, other):
        before = model.body.body.table.weight.detach().clone()
        words = vocabulary_of(model)
        assert words is not None
        starts.append(module._starts(model, words, "w7 w8", np.random.default_rng(3)))
        search_tokens(model, words, towards(goal), "w7 w8", 3)
        assert torch.equal(before, model.body.body.table.weight)
        assert model.body.body.table.weight.grad is None
        assert not model.body.body.table._forward_hooks
    assert torch.equal(*starts)
    assert one.body.spelled(starts[0][0])[:2] == ["w7", "w8"]
    assert len({tuple(row.tolist()) for row in starts[0]}) == module.RESTARTS


def test_the_budget_is_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RESTARTS", 2), ("STEPS", 3), ("CANDIDATES", 5), ("TEXTS_AT_ONCE", 4)):
        monkeypatch.setattr(module, name, value)
    model, seen = model_of(), list[int]()
    words = vocabulary_of(model)
    assert words is not None
    search_tokens(model, words, towards(torch.ones(WIDTH), seen), "w1", 0)
    assert sum(seen) == 2 + 3 * (2 + 2 * 5)
    assert max(seen) == 4


def test_a_step_never_makes_the_text_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = torch.randn(WIDTH, generator=torch.Generator().manual_seed(5))
    model = model_of()
    words = vocabulary_of(model)
    assert words is not None
    losses = []
    for steps in (0, 1, 2, 5, 10):
        monkeypatch.setattr(module, "STEPS", steps)
        found = search_tokens(model, words, towards(goal), "w1", 0)
        losses.append(towards(goal)(model.body.texts(found[None])).item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_a_tower_that_looks_no_token_up_has_no_vocabulary() -> None:
    assert vocabulary_of(tiny_clip(0, texts_train=False)) is None


@pytest.mark.parametrize("kind", ["clip", "siglip", "published"])
def test_towers_of_transformers_have_one(kind: str, tmp_path: Path) -> None:
    """It is searched with gradients there too, in a tower that is frozen as well as in one that trains."""
    towers = published_towers(*towers_in(tmp_path)) if kind == "published" else make(kind, tmp_path / "model")
    model = ImageTextClassifier(towers, ["cat", "dog"], ["{class}"])
    words = vocabulary_of(model)
    assert words is not None
    assert words.table.num_embeddings == words.allowed_V.numel()
    assert len(words.places_P) == PLACES
    assert 0 < int((~words.allowed_V).sum()) <= 3
    model.requires_grad_(False)
    with model.without_dropout():
        goal = model.body.texts(model.tokenize(["dog dog"]))[0]
        found = search_tokens(model, words, towards(goal), "cat", 0)
        before = float((model.body.texts(model.tokenize(["cat"])) @ goal).item())
        assert float((model.body.texts(found[None]) @ goal).item()) > before


def test_towers_of_open_clip_have_one() -> None:
    torch.manual_seed(0)
    text = {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1}
    image = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    config = {"embed_dim": 8, "vision_cfg": image, "text_cfg": text}
    body = open_clip.CLIP(**config)
    towers = OpenClip(body, open_clip.SimpleTokenizer(context_length=8), config)
    model = ImageTextClassifier(towers, ["cat", "dog"], ["a {class}"])
    words = vocabulary_of(model)
    assert words is not None
    assert isinstance(words.table, nn.Embedding)
    assert words.table is body.token_embedding
    assert words.places_P.tolist() == [1, 2, 3, 4]
    assert not words.allowed_V[49406:].any()
    assert words.allowed_V[1:49406].all()
    goal = model.body.texts(model.tokenize(["red sea"])).detach()[0]
    module_start = 1 - float((model.body.texts(model.tokenize(["cat"])) @ goal).item())
    found = search_tokens(model, words, towards(goal), "cat", 0)
    assert 1 - float((model.body.texts(found[None]) @ goal).item()) < module_start
