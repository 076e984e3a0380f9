from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.text_cache import recall_texts, store_texts
from cu_core.models.trainable import Trainable, choose_trainable
from cu_core.run import fresh_model
from cu_core.workspace import Workspace
from tests.conftest import small_clip


def test_captions_embedded_by_the_same_weights_are_not_embedded_again(
    captions: Path, storage: Path, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_clip(captions, storage, clip_file)
    reader = Workspace(config).reader

    def frozen_text(seed: int) -> ImageTextClassifier:
        model = fresh_model(config, reader, seed)
        assert isinstance(model, ImageTextClassifier)
        choose_trainable(model, Trainable())
        return model

    first = frozen_text(0)
    tokens = first.tokenize(["the digit 5", "a photo of the digit 3.", "the digit 5"])
    found = first.texts(tokens).embedding
    store_texts(first, tmp_path, "mini")

    second = frozen_text(0)
    recall_texts(second, tmp_path, "mini")
    monkeypatch.setattr(second, "_embed", lambda tokens: pytest.fail("embedded again"))
    torch.testing.assert_close(second.texts(tokens).embedding, found, rtol=0, atol=0)

    renamed = frozen_text(0)
    recall_texts(renamed, tmp_path, "another architecture")
    assert not renamed.kept_texts()

    other = frozen_text(1)
    recall_texts(other, tmp_path, "mini")
    assert not torch.equal(other.texts(tokens).embedding, found)


def test_a_text_tower_that_trains_leaves_nothing(
    captions: Path, storage: Path, clip_file: Path, tmp_path: Path
) -> None:
    config = small_clip(captions, storage, clip_file)
    model = fresh_model(config, Workspace(config).reader, 0)
    store_texts(model, tmp_path, "mini")
    assert not list(tmp_path.iterdir())
