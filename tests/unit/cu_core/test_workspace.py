from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_data_config
from transformers import AutoImageProcessor

from cu_core.models.build import ModelConfig
from cu_core.models.published import published_preprocess
from cu_core.workspace import Workspace
from tests.conftest import pack_quietly, small
from tests.tiny_transformers import TINY, save_tiny


def test_what_is_opened_alike_is_opened_once(digits: Path, class_request: Path, tmp_path: Path) -> None:
    config = small(digits, tmp_path)
    asked = Workspace(config, class_request)
    split = asked.split
    assert asked.for_request(None).reader is asked.reader
    assert asked.for_request(None).split.num_retain == split.num_retain + len(split.forget.rows)

    same_sets = asked.with_config(replace(config, optimizer=replace(config.optimizer, lr=0.5)))
    assert same_sets.split is split
    other_sets = asked.with_config(replace(config, seed=config.seed + 1))
    assert other_sets.reader is asked.reader
    assert other_sets.split.seed == config.seed + 1
    other_data = asked.with_config(replace(config, data=replace(config.data, half=0)))
    assert other_data.reader.num_rows("train") < asked.reader.num_rows("train")


def test_what_is_open_does_not_travel(digits: Path, class_request: Path, tmp_path: Path) -> None:
    asked = Workspace(small(digits, tmp_path), class_request)
    want = asked.split.num_retain
    there = pickle.loads(pickle.dumps(asked))
    assert vars(there) == {"config": asked.config, "forget_file": class_request}
    assert there.split.num_retain == want


def library_transform(name: str, picture: Image.Image) -> torch.Tensor:
    """What a published model's own library makes of an image file."""
    library, _, rest = name.partition(":")
    if library == "timm":
        own: Any = create_transform(**resolve_data_config(timm.get_pretrained_cfg(rest).to_dict()))
        return own(picture)
    if library == "torchvision":
        return torchvision.models.get_model_weights(rest).DEFAULT.transforms()(picture)
    return AutoImageProcessor.from_pretrained(rest)(picture, return_tensors="pt")["pixel_values"][0]


@pytest.mark.parametrize("name", ["timm:efficientnet_lite0", "torchvision:squeezenet1_1", *TINY])
@pytest.mark.parametrize("shape", [(40, 80), (64, 32)])
def test_image_files_are_read_as_the_library_of_a_published_model_reads_them(
    name: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    """To two grey levels: ours are rounded to 8 bits between resizing and the model. Where a crop is off by half a
    pixel, the libraries round it differently."""
    name = f"transformers:{save_tiny(name, tmp_path / 'm', num_labels=2)}" if name in TINY else name
    down, right = np.mgrid[0 : shape[0], 0 : shape[1]]
    wave = 128 + 100 * np.sin(down / 5) * np.cos(right / 7)
    picture = Image.fromarray(np.stack([wave, 255 - wave, (down * 3 + right) % 200], 2).astype(np.uint8))
    for file in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "images" / file)
    data = pack_quietly(f"folder:{tmp_path / 'images'}", tmp_path / "data")
    reader = Workspace(small(data, tmp_path, model={"name": name})).reader
    own = published_preprocess(ModelConfig(name=name).name, None)
    found = own(reader.images("train", np.arange(1)))[0]
    error = (found - library_transform(name, picture)).abs() * torch.tensor(own.std)[:, None, None] * 255
    assert error.max() < 2
