from __future__ import annotations

from pathlib import Path

from tests.hostile.table_inputs import image_files, json_file, packed, rows_of


def test_the_name_of_the_file_names_the_split_and_messages_count_images_of_the_file(tmp_path: Path) -> None:
    image_files(tmp_path / "images", 6)
    for name, first in (("captions_train.json", 0),):
        content = {
            "images": [{"id": first + n, "file_name": f"{n}.png"} for n in range(6)],
            "annotations": [{"image_id": first + n, "caption": f" view {n} "} for n in range(6)],
        }
        file = json_file(tmp_path / name, content)
    reader = packed(f"coco:{file}:{tmp_path / 'images'}", tmp_path / "out")
    assert rows_of(reader, "caption") == [[f"view {n}"] for n in range(6)]
    assert reader.manifest.notes["train: rows of 1 file (captions_train.json)"] == 6
