from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cu_core.data.manifest_checks import check_manifest
from cu_core.data.schema import Manifest, ShardInfo
from cu_core.errors import DataError


def manifest(path: str = "a.arrow", rows: int = 3, **more: Any) -> Manifest:
    shard = ShardInfo(path=path, split="train", batch_rows=(rows,), bytes=100, sha256="0" * 64)
    values: dict[str, Any] = {"image_kind": "encoded", "image_shape": None, "class_names": ("a",), "shards": (shard,)}
    return Manifest(name="x", **{**values, **more})


def test_a_sound_manifest_passes_with_and_without_its_shards(tmp_path: Path) -> None:
    check_manifest(manifest(), tmp_path / "manifest.json")
    (tmp_path / "a.arrow").write_bytes(b"x" * 100)
    check_manifest(manifest(), tmp_path / "manifest.json")
    check_manifest(manifest("/elsewhere/a.arrow", source="arrow:/elsewhere"), tmp_path / "manifest.json")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (manifest("/elsewhere/a.arrow"), "absolute"),
        (manifest("/elsewhere/../a.arrow", source="arrow:/elsewhere"), "plain name"),
        (manifest(rows=101), "101 rows in a file of 100 bytes"),
        (manifest(rows=0), "no training rows"),
        (manifest(label_values=(2**63,)), "64 bits"),
    ],
)
def test_what_it_says_must_be_possible(tmp_path: Path, given: Manifest, match: str) -> None:
    (tmp_path / "a.arrow").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=match):
        check_manifest(given, tmp_path / "manifest.json")
