from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel

from cu_core.errors import UserError
from cu_core.models.towers import Towers, open_clip_towers
from cu_core.models.transformers_towers import hugging_face_towers

VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2}
VISION |= {"image_size": 32, "patch_size": 8}
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT |= {"vocab_size": 40, "max_position_embeddings": 12, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
OPEN_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 4, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = ["a photo of a dog", "dog", "a cat"]


def tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    names = ["<pad>", "<s>", "</s>", "<unk>", *words]
    inner = Tokenizer(WordLevel({n: i for i, n in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    inner.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def saved(folder: Path, kind: str, words: list[str] | None = None) -> Path:
    torch.manual_seed(0)
    if kind == "clip":
        model: Any = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16))
    else:
        model = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION))
    model.save_pretrained(folder)
    tokenizer(words or ["a", "photo", "of", "dog", "cat"]).save_pretrained(folder)
    return folder


def make(kind: str, folder: Path) -> Towers:
    if kind == "open_clip":
        folder.mkdir()
        (folder / "model.json").write_text(json.dumps(OPEN_CLIP))
        torch.manual_seed(0)
        return open_clip_towers(str(folder / "model.json"))
    return hugging_face_towers(str(saved(folder, kind)))


@pytest.mark.parametrize("kind", ["open_clip", "clip", "siglip"])
def test_features_of_images_and_texts(kind: str, tmp_path: Path) -> None:
    towers = make(kind, tmp_path / "model").eval()
    grey = torch.randint(256, (5, 1, 28, 28), dtype=torch.uint8)
    found = towers.images(grey)
    texts = towers.texts(towers.tokenize(TEXTS))
    assert found.embedding.shape == (5, texts.shape[1])
    assert found.hidden.shape == (5, 32)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(found.embedding.norm(dim=1), torch.ones(5))
    assert towers.loss == ("sigmoid" if kind == "siglip" else "softmax")
    assert (towers.bias is not None) == (kind == "siglip")
    assert towers.scale > 0
    assert [len(towers.blocks("image")), len(towers.blocks("text"))] == [4, 2]
    assert not torch.allclose(texts[1], texts[2])
    colour = towers.images(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(colour.embedding, found.embedding)


def test_an_exported_state_dict_loads_with_open_clip_alone(tmp_path: Path) -> None:
    towers = make("open_clip", tmp_path / "model").eval()
    towers.export(tmp_path / "out")
    torch.manual_seed(1)
    plain = open_clip.CLIP(**OPEN_CLIP).eval()
    plain.load_state_dict(load_file(tmp_path / "out" / "open_clip_model.safetensors"))
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    found = plain.encode_image(towers.preprocess(images), normalize=True)
    torch.testing.assert_close(found, towers.images(images).embedding, atol=1e-5, rtol=0)


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="open_clip has no model 'ViT-Z'"):
        open_clip_towers("ViT-Z")
    (tmp_path / "bad.json").write_text('{"embed_dim": 3}')
    with pytest.raises(ValueError, match="no open_clip model configuration"):
        open_clip_towers(str(tmp_path / "bad.json"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[]", "must be an object, it is a list"),
        (b"\xff\xfe\x00", "it is no JSON"),
        (b'{"model_cfg": []}', r"model_cfg must be a mapping, got \[\]"),
        (b'{"embed_dim": 8, "vision_cfg": [], "text_cfg": {}}', r"vision_cfg must be a mapping, got \[\]"),
        (b'{"embed_dim": 8, "vision_cfg": {}, "text_cfg": 3}', "text_cfg must be a mapping, got 3"),
        (json.dumps({**OPEN_CLIP, "preprocess_cfg": []}).encode(), r"preprocess_cfg must be a mapping, got \[\]"),
        (json.dumps({"model_cfg": OPEN_CLIP, "preprocess_cfg": {"mean": 3}}).encode(), "mean must be a list of 3 numb"),
        (json.dumps({**OPEN_CLIP, "embed_dim": -8}).encode(), "is no open_clip model configuration"),
        (json.dumps({**OPEN_CLIP, "embed_dim": "a"}).encode(), "is no open_clip model configuration"),
    ],
)
def test_a_damaged_configuration_of_open_clip_is_one_line(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_bytes(content)
    with pytest.raises(UserError, match=told) as error:
        open_clip_towers(str(tmp_path / "own.json"))
    assert "own.json" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="model.name: no file .*nothing.json"):
        open_clip_towers(str(tmp_path / "nothing.json"))
