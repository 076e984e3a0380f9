from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.towers import open_clip_towers
from cu_core.models.trainable import Trainable, adapter_of, choose_trainable, merge_adapters


@pytest.fixture
def model(clip_file: Path) -> ImageTextClassifier:
    torch.manual_seed(0)
    return ImageTextClassifier(open_clip_towers(str(clip_file)), ["dog", "cat"], ["a {class}", "the {class}"])


def trained(model: ImageTextClassifier) -> set[str]:
    return {name.removeprefix("body.body.") for name, p in model.named_parameters() if p.requires_grad}


def test_only_what_was_asked_for_trains(model: ImageTextClassifier) -> None:
    choose_trainable(model, Trainable(tune="head"))
    assert trained(model) == {"visual.proj"}
    choose_trainable(model, Trainable(towers="both", tune="head", scale=True))
    assert trained(model) == {"visual.proj", "text_projection", "logit_scale"}
    choose_trainable(model, Trainable(tune="last_blocks", blocks=1))
    assert all(n.startswith(("visual.transformer.resblocks.1.", "visual.proj")) for n in trained(model))
    choose_trainable(model, Trainable(towers="text"))
    assert trained(model)
    assert not any(n.startswith("visual.") for n in trained(model))


def test_adapters_begin_as_nothing_and_are_folded_into_the_weights(model: ImageTextClassifier) -> None:
    images, names = torch.randint(256, (3, 1, 16, 16), dtype=torch.uint8), set(model.state_dict())
    before = model(images).embedding
    assert adapter_of(model) is None
    choose_trainable(model, Trainable(tune="lora", blocks=1, rank=2))
    assert all("lora_" in name and "visual.transformer.resblocks.1." in name for name in trained(model))
    torch.testing.assert_close(model(images).embedding, before)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    moved = model(images).embedding
    assert not torch.allclose(moved, before)
    found = adapter_of(model)
    assert found is not None
    assert found[1]["r"] == 2
    merge_adapters(model)
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(images).embedding, moved, rtol=1e-4, atol=1e-5)


def test_captions_of_a_frozen_tower_are_embedded_once_and_anew_after_a_change(model: ImageTextClassifier) -> None:
    choose_trainable(model, Trainable())
    tokens = model.tokenize(["a dog", "a cat", "a dog"])
    with torch.inference_mode():
        first = model.texts(tokens).embedding.clone()
    torch.testing.assert_close(first[0], first[2])
    calls = []
    texts = model.body.texts
    model.body.texts = lambda part: calls.append(len(part)) or texts(part)  # type: ignore[func-returns-value,method-assign,assignment]
    again = model.texts(tokens).embedding
    torch.testing.assert_close(again, first)
    (again * torch.ones(16, requires_grad=True)).sum().backward()  # usable in training, though made in inference
    assert not calls
    with torch.no_grad():
        model.body.parameters_of("text")[0].mul_(1.5)
    assert not torch.allclose(model.texts(tokens).embedding, first)
    assert calls == [2]


def test_prompts_follow_the_text_tower(model: ImageTextClassifier) -> None:
    before = model.class_features().clone()
    assert model.class_features() is model.class_features()
    with torch.no_grad():
        model.body.parameters_of("text")[0].mul_(1.5)
    assert not torch.allclose(model.class_features(), before)
