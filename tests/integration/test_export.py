"""Image-text models of every library through training, unlearning and export, and back into the plain library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel

from cu_core.config_io import dump_config
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.models.image_text import ImageTextClassifier
from cu_core.run import Hooks, load_model, run_train, run_unlearn
from cu_core.workspace import Workspace
from pipelines.run.export import export
from tests.conftest import small_clip
from tests.unit.cu_core.models.test_towers import saved

WORDS = ["a", "photo", "of", "the", "digit", *"0123456789"]


@pytest.mark.parametrize("kind", ["open_clip", "clip", "siglip"])
@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_model_goes_back_to_the_library_it_came_from(
    kind: str, tune: str, captions: Path, clip_file: Path, tmp_path: Path
) -> None:
    name = f"open_clip:{clip_file}" if kind == "open_clip" else f"transformers:{saved(tmp_path / 'base', kind, WORDS)}"
    templates = ["a photo of the digit {class}.", "the digit {class}"]
    weights = "pretrained" if kind != "open_clip" else None
    config = small_clip(
        captions,
        tmp_path / "storage",
        clip_file,
        model={"name": name, "templates": templates, "weights": weights},
        train={"epochs": 0.3, "batch": 64, "optimizer": {"name": "adamw", "lr": 1e-3}},
        trainable={"tune": tune, "blocks": 1},
        stop={"max_steps": 3, "rule": "none"},
    )
    reader = Workspace(config).reader
    request = save_forget_set(tmp_path / "requests", resolve_request(config.request, reader, pairs=True))
    run_train(Workspace(config), tmp_path / "original", Hooks())
    run_unlearn(Workspace(config, request), tmp_path / "original", tmp_path / "unlearned", Hooks())
    model = load_model(config, reader, tmp_path / "unlearned").eval()
    assert isinstance(model, ImageTextClassifier)
    export(config, str(tmp_path / "unlearned"), tmp_path / "out", adapter=False)
    check_pixels(kind, tmp_path / "out", model)

    images = reader.images("test", reader_rows := torch.arange(4).numpy())
    with torch.no_grad():
        pixels = model.preprocess(images)
        tokens = model.tokenize([texts[0] for texts in reader.captions("test", reader_rows)])
        plain = features(kind, clip_file, tmp_path / "out", pixels, tokens)
        ours = model.body.images(images).embedding, model.body.texts(tokens)
        for own, their in zip(ours, plain, strict=True):
            torch.testing.assert_close(own, their, rtol=0, atol=1e-5)
        if tune == "lora" and kind == "clip":
            base = load_original(config, reader, tmp_path)
            export(config, str(tmp_path / "unlearned"), tmp_path / "adapter", adapter=True)
            adapted = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
            found = unit(adapted.get_image_features(pixel_values=pixels))
            torch.testing.assert_close(ours[0], found, rtol=0, atol=1e-5)


def check_pixels(kind: str, folder: Path, model: ImageTextClassifier) -> None:
    """The library prepares a wide image as the model was trained, but for the rounding of what it resizes."""
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    if kind == "open_clip":
        their = open_clip.create_model_and_transforms(f"local-dir:{folder}")[2](Image.fromarray(image))[None]
    else:
        their = AutoImageProcessor.from_pretrained(folder)(Image.fromarray(image), return_tensors="pt")["pixel_values"]
    own = model.preprocess(torch.from_numpy(image.transpose(2, 0, 1))[None])
    apart = (own - their).abs() * torch.tensor(model.preprocess.std).view(1, 3, 1, 1)
    assert apart.max() <= 1.01 / 255


def load_original(config: Any, reader: Any, place: Path) -> Any:
    """The original as the plain library has it."""
    export(config, str(place / "original"), place / "plain", adapter=False)
    return AutoModel.from_pretrained(place / "plain")


def features(kind: str, clip_file: Path, folder: Path, pixels: Any, tokens: Any) -> tuple[Any, Any]:
    if kind == "open_clip":
        body = open_clip.create_model(f"local-dir:{folder}").eval()
        stored = load_file(folder / "open_clip_model.safetensors")
        assert all(torch.equal(value, stored[name]) for name, value in body.state_dict().items())
        return body.encode_image(pixels, normalize=True), body.encode_text(tokens, normalize=True)
    body = AutoModel.from_pretrained(folder).eval()
    return unit(body.get_image_features(pixel_values=pixels)), unit(body.get_text_features(input_ids=tokens))


def unit(found: Any) -> torch.Tensor:
    value = found if isinstance(found, torch.Tensor) else found.pooler_output
    return torch.nn.functional.normalize(value, dim=-1)


def test_the_command_exports_a_run_and_refuses_what_is_not_there(
    captions: Path, clip_file: Path, tmp_path: Path
) -> None:
    config = small_clip(captions, tmp_path / "storage", clip_file)
    run_train(Workspace(config), tmp_path / "run" / "unlearned", Hooks())
    (tmp_path / "run" / "config.yaml").write_text(dump_config(config))

    def cu(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "pipelines.cli.entry",
            "export",
            str(tmp_path / "run" / "unlearned"),
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})

    done = cu("--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "open_clip_model.safetensors").is_file()
    for arguments, message in (
        (["--out", str(tmp_path / "out")], "already exists"),
        (["--out", str(tmp_path / "new"), "--adapter"], "was not unlearned with trainable.tune=lora"),
    ):
        refused = cu(*arguments)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
