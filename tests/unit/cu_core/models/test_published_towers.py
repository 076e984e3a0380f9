from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from cu_core.config_io import config_from
from cu_core.errors import UserError
from cu_core.models.build import ModelConfig, build_model
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.published_towers import published_towers
from cu_core.models.trainable import Trainable, choose_trainable
from tests.unit.cu_core.models.test_towers import tokenizer

ARGS = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
JSON = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 16, "timm_pool": "avg"},
    "text_cfg": {"context_length": 6, "hf_pooler_type": "mean_pooler", "hf_proj_type": "linear"},
}


def towers_in(folder: Path, words: Any = ("a", "dog", "cat"), **args: Any) -> tuple[str, str, str]:
    """A configuration and the folders of two tiny towers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(JSON))
    torch.manual_seed(0)
    image = folder / "image"
    image.mkdir()
    about = {"num_classes": 0, "input_size": [3, 16, 16]}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 0,
        "model_args": ARGS | args,
        "pretrained_cfg": about,
    }
    (image / "config.json").write_text(json.dumps(config))
    made = timm.create_model("vit_tiny_patch16_224", num_classes=0, **(ARGS | args))
    save_file(made.state_dict(), str(image / "model.safetensors"))
    sizes = {"hidden_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    BertModel(BertConfig(vocab_size=8, pad_token_id=0, **sizes)).save_pretrained(folder / "text")
    tokenizer(list(words)).save_pretrained(folder / "text")
    return str(folder / "model.json"), str(image), str(folder / "text")


def test_weights_of_both_folders_are_loaded_and_the_projection_is_fresh(tmp_path: Path) -> None:
    names = towers_in(tmp_path)
    torch.manual_seed(1)
    one = published_towers(*names)
    torch.manual_seed(2)
    other = published_towers(*names)
    differing = {n for n, p in one.body.named_parameters() if not torch.equal(p, other.body.get_parameter(n))}
    assert differing == {"visual.head.proj.weight", "text.proj.weight"}
    trunk = timm.create_model("vit_tiny_patch16_224", num_classes=0, **ARGS)
    trunk.load_state_dict(open_clip.factory.load_state_dict(f"{names[1]}/model.safetensors"))
    torch.testing.assert_close(
        one.body.get_submodule("visual.trunk.blocks.1").state_dict(), trunk.blocks[1].state_dict()
    )


def test_the_text_tower_reads_words_and_not_padding(tmp_path: Path) -> None:
    towers = published_towers(*towers_in(tmp_path))
    tokens = towers.tokenize(["a dog", "a cat", "dog"])
    assert tokens.shape == (3, 6)
    embedded = towers.texts(tokens)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))
    longer = torch.nn.functional.pad(tokens, (0, 4))
    torch.testing.assert_close(towers.texts(longer), embedded)


def test_it_trains_and_freezes_as_other_image_text_models(tmp_path: Path) -> None:
    names = towers_in(tmp_path)
    config = ModelConfig(
        name=f"open_clip:{names[0]}", image_tower=names[1], text_tower=names[2], templates=("a {class}",)
    )
    model = build_model(config, ["dog", "cat"], None, 0)
    assert isinstance(model, ImageTextClassifier)
    images = torch.randint(256, (4, 3, 20, 20), dtype=torch.uint8)
    assert model(images).logits.shape == (4, 2)
    choose_trainable(model, Trainable(towers="both", tune="last_blocks", blocks=1))
    trained = {
        n.split(".blocks.")[0].split(".layer.")[0] for n, p in model.body.body.named_parameters() if p.requires_grad
    }
    assert trained == {"visual.trunk", "visual.head.proj.weight", "text.transformer.encoder", "text.proj.weight"}
    choose_trainable(model, Trainable(towers="both", tune="lora", blocks=2))
    adapted = [n for n, p in model.body.body.named_parameters() if p.requires_grad]
    assert any("visual.trunk.blocks.1.attn.qkv.lora_A" in n for n in adapted)
    assert any("encoder.layer.1.attention.self.query.lora_A" in n for n in adapted)


def test_directions_are_removed_from_a_linear_projection(tmp_path: Path) -> None:
    """timm's towers end in a layer whose weight is (D, width), other than open_clip's own."""
    towers = published_towers(*towers_in(tmp_path))
    basis = torch.linalg.qr(torch.randn(24, 2))[0]
    towers.project_out(basis)
    pixels = torch.randn(3, 3, 16, 16)
    assert (towers._embed_images(pixels) @ basis).abs().max() < 1e-5


@pytest.mark.parametrize("opened", ["inside the folder", "by its program"])
@torch.no_grad()
def test_the_export_opens_in_plain_open_clip_without_the_towers_and_after_it_was_moved(
    opened: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers = published_towers(*towers_in(tmp_path / "made")).eval()
    towers.export(tmp_path / "partial")
    (tmp_path / "made").rename(tmp_path / "elsewhere")
    folder = (tmp_path / "partial").rename(tmp_path / "out")
    assert str(tmp_path) not in "".join(p.read_text() for p in folder.rglob("*.json"))
    if opened == "by its program":
        assert "cu_core" not in (folder / "open.py").read_text()
        found = runpy.run_path(str(folder / "open.py"))
        loaded, tokenize = found["model"], found["tokenizer"]
        image = Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))
        pixels = towers.preprocess(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])
        torch.testing.assert_close(found["preprocess"](image)[None], pixels, rtol=0, atol=0.05)
    else:
        monkeypatch.chdir(folder)
        loaded, tokenize = open_clip.create_model("local-dir:.").eval(), open_clip.get_tokenizer("local-dir:.")
    pixels = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(loaded.encode_image(pixels), towers._embed_images(pixels))
    tokens = tokenize(["a dog", "cat"])
    assert torch.equal(tokens, towers.tokenize(["a dog", "cat"]))
    torch.testing.assert_close(loaded.encode_text(tokens), towers._embed_texts(tokens))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda place: (place / "image" / "config.json").unlink(), "must be a folder with config.json"),
        (lambda place: (place / "text" / "model.safetensors").unlink(), "cannot be built"),
        (lambda place: (place / "image" / "model.safetensors").write_bytes(b"x"), "cannot be built"),
        (lambda place: (place / "image" / "config.json").write_text('{"architecture": "no_such"}'), "cannot be built"),
        (lambda place: (place / "image" / "config.json").write_text("["), "cannot be built"),
        (lambda place: (place / "model.json").write_text("{"), "model.json"),
        (lambda place: (place / "model.json").write_text('{"embed_dim": 24}'), "vision_cfg and text_cfg"),
        (
            lambda place: (place / "model.json").write_text(json.dumps(JSON).replace("16", "24")),
            "reads images of 16 pixels",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(damage: Any, message: str, tmp_path: Path) -> None:
    names = towers_in(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        published_towers(*names)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="belongs to another model"):
        published_towers(*towers_in(tmp_path, words=list("abcdefgh")))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "open_clip:x.json", "image_tower": "a"}, "together"),
        ({"name": "resnet18", "image_tower": "a", "text_tower": "b"}, "are for open_clip:FILE.json"),
        ({"name": "open_clip:x.json", "image_tower": "a", "text_tower": "b", "weights": "pretrained"}, "no effect"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_from({"model": given})


def test_what_is_trained_depends_on_the_content_of_the_folders(tmp_path: Path) -> None:
    names = towers_in(tmp_path)
    model = {"name": f"open_clip:{names[0]}", "image_tower": names[1], "text_tower": names[2]}
    config = config_from({"model": model, "method": {"name": "finetune"}})
    before = config.original_key("d")
    (tmp_path / "text" / "more.txt").write_text("a")
    assert config.original_key("d") != before
