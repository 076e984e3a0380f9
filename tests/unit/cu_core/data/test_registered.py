from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cu_core.data.registered import register_arrow
from cu_core.data.sources import SourceOptions
from tests.hostile.table_inputs import arrow_file, pngs


def test_splits_are_said_before_the_manifest_is_written(tmp_path: Path) -> None:
    for name, first in (("train", 0), ("validation", 10), ("testimonials", 20)):
        rows = {"sample_id": range(first, first + 2), "image": pngs(2), "label": [0, 2]}
        arrow_file(tmp_path / "in" / name / "0.arrow", {k: list(v) for k, v in rows.items()})
    said: list[Mapping[str, int]] = []

    def say(notes: Mapping[str, int]) -> None:
        assert not (tmp_path / "out").exists()
        said.append(dict(notes))

    manifest = register_arrow(str(tmp_path / "in"), tmp_path / "out", SourceOptions(), lambda d, t: None, say)
    assert {s.path.split("/")[-2]: s.split for s in manifest.shards} == {
        "train": "train",
        "validation": "val",
        "testimonials": "train",
    }
    assert said == [manifest.notes]
    assert manifest.class_names == ("0", "1", "2")
