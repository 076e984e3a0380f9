from __future__ import annotations

from pathlib import Path

from tests.hostile.table_inputs import image_files, json_file, packed, rows_of
from tests.hostile.test_tars_and_json import SPLITS, coco, coco_content, karpathy, refused


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


def test_images_of_coco_that_name_their_split(tmp_path: Path) -> None:
    content = coco_content()
    for number, image in enumerate(content["images"]):
        image["split"] = ("train", "restval", "val", "test")[number % 4]
    reader = packed(coco(tmp_path, content), tmp_path / "out")
    assert [reader.num_rows(s) for s in SPLITS] == [4, 2, 2]  # type: ignore[arg-type]
    content["images"][1]["split"] = "holdout"
    refused(coco(tmp_path, content), tmp_path / "two", r"1 images have a split that is none of .*images\[1\]")


def test_rows_without_a_caption_are_left_out_of_each_split_of_a_file(tmp_path: Path) -> None:
    content = karpathy()
    for number in (0, 2):
        content["images"][number]["sentences"] = []
    reader = packed(coco(tmp_path, content), tmp_path / "out", skip_empty_captions=True)
    assert [reader.num_rows(s) for s in SPLITS] == [3, 1, 2]  # type: ignore[arg-type]
    assert sum(reader.manifest.notes[n] for n in reader.manifest.notes if n.startswith("left out, rows")) == 2
