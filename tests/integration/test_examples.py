"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cu_core.data.folder_source import folder
from cu_core.data.images import pixels
from cu_core.data.schema import SPLITS
from cu_core.data.sources import SourceOptions

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "examples" / "own_model.py"]  # the other converts files that are fetched: published-models.md


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_ends_in_a_verdict(example: Path, tmp_path: Path) -> None:
    assert len(example.read_text().splitlines()) <= 40
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("indistinguishable", "under-forgotten", "over-forgotten", "inconclusive")
    assert (tmp_path / "unlearned.safetensors").is_file()


def test_the_guide_shows_the_example_as_it_is() -> None:
    guide = (ROOT / "docs" / "guides" / "python.md").read_text()
    for example in EXAMPLES:
        assert example.read_text().rstrip() in guide


def test_data_of_the_shape_of_imagenet_can_be_packed(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "examples" / "imagenet_shaped.py"), str(tmp_path / "images")]
    subprocess.run([*words, "--images", "150", "--classes", "6"], check=True)
    parsed = folder(str(tmp_path / "images"), SourceOptions())
    assert sum(parsed.counts.values()) == 150
    assert min(parsed.counts[split] for split in SPLITS) > 0
    assert parsed.class_names == tuple(f"class{number:04d}" for number in range(6))
    first = tmp_path / "images" / "train" / "class0003" / "00000003.jpg"
    assert pixels(first.read_bytes()).shape == (224, 224, 3)
    assert 10_000 < first.stat().st_size < 40_000
