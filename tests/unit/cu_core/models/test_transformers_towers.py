from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from cu_core.errors import UserError
from cu_core.models.transformers_towers import hugging_face_towers
from tests.unit.cu_core.models.test_towers import TEXTS, make, saved


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_an_exported_folder_loads_with_transformers_alone(kind: str, tmp_path: Path) -> None:
    towers = make(kind, tmp_path / "model").eval()
    with torch.no_grad():
        for weight in towers.parameters():
            weight.add_(0.01)
    towers.export(tmp_path / "out")
    plain = AutoModel.from_pretrained(tmp_path / "out").eval()
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    found = plain.get_image_features(pixel_values=towers.preprocess(images))
    found = getattr(found, "pooler_output", found)
    expected = towers.images(images).embedding
    torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), expected, atol=1e-5, rtol=0)
    again = hugging_face_towers(str(tmp_path / "out")).eval()
    torch.testing.assert_close(again.texts(again.tokenize(TEXTS)), towers.texts(towers.tokenize(TEXTS)))


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be loaded"):
        hugging_face_towers(str(tmp_path / "nothing"))
    large = saved(tmp_path / "large", "clip", [f"w{i}" for i in range(60)])
    with pytest.raises(ValueError, match="64 tokens, the text tower 40: it belongs to another model"):
        hugging_face_towers(str(large))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[]", "must be an object, it is a list"),
        (b"\xff", "it is no JSON"),
        (b'{"image_mean": 3}', "image_mean must be a list of 3 numbers, got 3"),
        (b'{"image_std": ["a", 1, 1]}', "image_std must be a list of 3 numbers"),
    ],
)
def test_a_damaged_processor_is_one_line(content: bytes, told: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "clip", [])
    (folder / "preprocessor_config.json").write_bytes(content)
    with pytest.raises(UserError, match=f"preprocessor_config.json.*{told}"):
        hugging_face_towers(str(folder))
