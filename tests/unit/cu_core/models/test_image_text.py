"""Zero-shot answers by hand, and what is embedded once."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cu_core.models import image_text
from cu_core.models.image_text import ImageTextClassifier
from cu_core.unlearn.evaluate import embed_texts
from tests.golden.tiny_clip import (
    CLASSES,
    DIM,
    TEMPLATES,
    TOKENS,
    TinyTowers,
    images_seen,
    texts_seen,
    tiny_clip,
    tokenize,
)
from tests.golden.tiny_model import weights_of

IMAGES = torch.randint(256, (5, 1, TOKENS, TOKENS), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
CAPTIONS = tokenize(["a red", "a grey", "a red", "blue!"])


@pytest.fixture
def model() -> ImageTextClassifier:
    """Its text tower is frozen."""
    return tiny_clip(1, texts_train=False)


def watched(model: ImageTextClassifier, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Captions of each pass of the text tower from now on."""
    found, embed = [], model.body.texts

    def texts(tokens: Tensor) -> Tensor:
        found.append(len(tokens))
        return embed(tokens)

    monkeypatch.setattr(model.body, "texts", texts)
    return found


def change(model: ImageTextClassifier, tower: Any) -> None:
    with torch.no_grad():
        model.body.parameters_of(tower)[0].mul_(1.5)


def prompts_by_hand(model: ImageTextClassifier, names: Sequence[str]) -> Any:
    """(T, C, D)."""
    tokens = [tokenize([t.replace("{class}", name) for name in names]) for t in TEMPLATES]
    return np.stack([texts_seen(weights_of(model), line).unit for line in tokens])


@pytest.mark.parametrize("sigmoid", [False, True])
def test_logits_are_scaled_cosines_to_the_mean_of_the_templates(sigmoid: bool) -> None:
    model = tiny_clip(1, texts_train=False, sigmoid=sigmoid)
    mean = prompts_by_hand(model, CLASSES).mean(0)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    images = images_seen(weights_of(model), IMAGES).unit
    wanted = np.exp(1.3) * images @ mean.T - (2.0 if sigmoid else 0)
    out = model(IMAGES)
    np.testing.assert_allclose(out.logits.detach(), wanted, rtol=1e-10)
    np.testing.assert_allclose(out.embedding.detach(), images, rtol=1e-10)
    assert out.scale is not None
    assert (out.scale.item(), out.bias is None) == (pytest.approx(np.exp(1.3)), not sigmoid)
    (hidden,), logits = model.at_depths(IMAGES)
    assert torch.equal(logits, out.logits)
    assert torch.equal(hidden, out.hidden)


def test_prompts_are_of_each_template_and_class_with_spaces_in_names() -> None:
    model = ImageTextClassifier(TinyTowers(False).double(), ["a_b", "cd", "e"], ["{class} {class}", "{class}."])
    assert model.prompts.shape == (2, 3, 4)
    wanted = [["a b a b", "cd cd", "e e"], ["a b.", "cd.", "e."]]
    assert model.prompts.tolist() == [tokenize(line).tolist() for line in wanted]


def test_features_of_other_classes(model: ImageTextClassifier) -> None:
    found = model.features_of(["pink", "red"])
    np.testing.assert_allclose(found, prompts_by_hand(model, ["pink", "red"]), rtol=1e-10)
    assert not found.requires_grad


def test_classes_are_embedded_again_when_the_text_tower_changes(
    model: ImageTextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = watched(model, monkeypatch)
    first = model.class_features()
    model(IMAGES)
    change(model, "image")
    model(IMAGES)
    assert passes == [len(TEMPLATES) * len(CLASSES)]
    change(model, "text")
    np.testing.assert_allclose(model.class_features(), prompts_by_hand(model, CLASSES), rtol=1e-10)
    assert not torch.equal(model.class_features(), first)
    assert len(passes) == 2


def test_equal_captions_are_embedded_once_and_frozen_ones_once_for_all(
    model: ImageTextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = watched(model, monkeypatch)
    wanted = texts_seen(weights_of(model), CAPTIONS).unit
    for _ in range(2):
        np.testing.assert_allclose(model.texts(CAPTIONS).embedding, wanted, rtol=1e-10)
    assert passes == [3]
    model.texts(tokenize(["a red", "green"]))
    assert passes == [3, 1]
    change(model, "text")
    np.testing.assert_allclose(
        model.texts(CAPTIONS).embedding, texts_seen(weights_of(model), CAPTIONS).unit, rtol=1e-10
    )
    assert passes == [3, 1, 3]
    assert model.texts(CAPTIONS).logits.shape == (4, 0)


def test_captions_of_a_tower_that_trains_have_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_clip(1, texts_train=True)
    passes = watched(model, monkeypatch)
    for _ in range(2):
        assert model.texts(CAPTIONS).embedding.requires_grad
    assert passes == [3, 3]
    assert model.kept_texts() == {}


def test_memory_of_captions_is_bounded(model: ImageTextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_text, "KEPT_TEXTS", 3)
    passes = watched(model, monkeypatch)
    model.texts(CAPTIONS)
    more = tokenize(["a red", "green"])
    found = model.texts(more).embedding  # a fourth caption: all are dropped
    np.testing.assert_allclose(found, texts_seen(weights_of(model), more).unit, rtol=1e-10)
    assert passes == [3, 2]
    assert len(model.kept_texts()["tokens"]) == 2


def test_what_is_kept_is_given_out_and_taken_back_while_the_weights_stay(
    model: ImageTextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.texts(CAPTIONS)
    kept = model.kept_texts()
    assert sorted(kept["tokens"].tolist()) == sorted({tuple(row): row for row in CAPTIONS.tolist()}.values())
    change(model, "text")
    assert model.kept_texts() == {}
    model.keep_texts(kept["tokens"], kept["embeddings"])
    passes = watched(model, monkeypatch)
    by_tokens = {tuple(t): e for t, e in zip(kept["tokens"].tolist(), kept["embeddings"], strict=True)}
    np.testing.assert_array_equal(model.texts(CAPTIONS).embedding, [by_tokens[tuple(t)] for t in CAPTIONS.tolist()])
    assert passes == []


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_chunks_change_neither_values_nor_gradients(size: int) -> None:
    found = []
    for rows in (None, size):
        model = tiny_clip(1, texts_train=True)
        model.rows_at_once = rows
        out, texts = model(IMAGES), model.texts(CAPTIONS)
        ((out.embedding[:4] * texts.embedding).sum() ** 2 + out.hidden.sum() ** 2).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append([out.embedding.detach(), out.hidden.detach(), texts.embedding.detach(), *grads])
    assert len(found[0]) == len(found[1]) > 5
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-12)


def test_no_tower_sees_more_rows_than_a_chunk(model: ImageTextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    model.rows_at_once = 2
    passes = watched(model, monkeypatch)
    model.texts(CAPTIONS)
    assert passes == [2, 1]


@pytest.mark.parametrize("train", [False, True])
def test_no_rows_have_the_width_of_rows(train: bool) -> None:
    model = tiny_clip(1, texts_train=train)
    out, texts = model(IMAGES[:0]), model.texts(CAPTIONS[:0])
    assert (out.embedding.shape, out.logits.shape) == ((0, DIM), (0, len(CLASSES)))
    assert texts.embedding.shape == (0, DIM)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_the_served_program_keeps_its_classes(sigmoid: bool) -> None:
    model = tiny_clip(1, texts_train=False, sigmoid=sigmoid)
    wanted = model(IMAGES).logits
    program = model.program()
    pixels = model.preprocess(IMAGES, torch.float64)
    torch.testing.assert_close(program(pixels), wanted)
    change(model, "text")
    torch.testing.assert_close(program(pixels), wanted)


def test_copies_hold_no_embeddings(model: ImageTextClassifier) -> None:
    """The place in memory of weights tells whether they changed: a copy lies elsewhere."""
    model.texts(CAPTIONS)
    wanted = model(IMAGES).logits
    copied = pickle.loads(pickle.dumps(model))
    assert copied._classes is None
    assert copied.kept_texts() == {}
    torch.testing.assert_close(copied(IMAGES).logits, wanted)


def test_what_is_kept_or_compared_has_no_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions of a frozen tower and prompts are the same in both modes; each module keeps its own mode."""
    model = tiny_clip(1, texts_train=False)
    model.body.dropout = torch.nn.Dropout(0.5)
    texts = model.body.texts
    monkeypatch.setattr(model.body, "texts", lambda tokens: model.body.dropout(texts(tokens)))
    model.train()
    model.body.body.visual.eval()
    found = model.class_features(), model.texts(CAPTIONS).embedding, torch.from_numpy(embed_texts(model, ["a red"]))
    model.eval()
    wanted = texts(model.prompts.flatten(0, 1)).view_as(found[0]), texts(CAPTIONS), texts(tokenize(["a red"])).float()
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other.detach())
    model.train()
    model.body.body.visual.eval()
    with model.without_dropout():
        assert not any(module.training for module in model.body.modules())
    assert model.body.dropout.training
    assert not model.body.body.visual.training


def test_of_some_classes_only_their_prompts_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_clip(1, texts_train=False)
    whole = model(IMAGES).logits
    passes = watched(model, monkeypatch)
    with model.among([3, 1]):
        torch.testing.assert_close(model(IMAGES).logits, whole[:, [3, 1]])
    assert passes == [len(TEMPLATES) * 2]
    torch.testing.assert_close(model(IMAGES).logits, whole)
