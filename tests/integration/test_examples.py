"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
