from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from cu_core.data.convert import SplitPlan
from cu_core.data.schema import read_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from tests.unit.pipelines.commands import Cu

MANIFEST = SimpleNamespace(
    notes={"left out": 2, "renamed": 1},
    num_rows=lambda split: {"train": 7, "val": 2, "test": 1}[split],
    shards=(1,),
    digest="abc",
)


def test_pack_passes_on_every_option(cu: Cu, tmp_path: Path) -> None:
    words = ["--val-frac", 0.3, "--test-frac", 0.1, "--train-rows", 50, "--seed", 4, "--column", "image=a=b"]
    words += ["--column", "label=c", "--caption", "one {class}", "--caption", "two", "--shard-rows", 9]
    words += ["--image-root", "images", "--max-file-mb", 3, "--skip-empty-captions", "--download", "--no-check"]
    words += ["--skip-bad", "--max-pixels", 99, "--decode", 32]
    with patch("cu_core.data.convert.pack", autospec=True, return_value=MANIFEST) as pack:
        ran = cu("data", "pack", "csv:a.csv", tmp_path / "out", *words)
    assert ran.status == 0
    assert pack.call_args.args[:4] == (
        "csv:a.csv",
        tmp_path / "out",
        SplitPlan(0.3, 0.1, 50, 4),
        SourceOptions(
            download=True,
            columns={"image": "a=b", "label": "c"},
            captions=("one {class}", "two"),
            shard_rows=9,
            check=False,
            skip_bad=True,
            max_pixels=99,
            decode_size=32,
            image_root="images",
            max_file_mb=3,
            skip_empty_captions=True,
        ),
    )


def test_notes_are_printed_once_and_anew_when_their_count_changed(cu: Cu, tmp_path: Path) -> None:
    def pack(*words: object, say: object, **more: object) -> SimpleNamespace:
        say({"left out": 1})  # type: ignore[operator]
        say({"left out": 1, "renamed": 1})  # type: ignore[operator]
        return MANIFEST

    with patch("cu_core.data.convert.pack", pack):
        ran = cu("data", "pack", "digits", tmp_path)
    said = [line for line in ran.err.splitlines() if line.strip()]
    assert said[:3] == ["left out: 1", "renamed: 1", "left out: 2"]
    assert "".join("".join(said[3:]).split()) == f"{tmp_path}:train7,val2,test1rowsin1shard,digestabc"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--val-frac", "0.6", "--test-frac", "0.4"], "leave room, got 0.6 and 0.4"),
        (["--val-frac", "-0.1"], "leave room, got -0.1 and 0.2"),
        (["--test-frac", "1"], "leave room, got 0.1 and 1.0"),
        (["--val-frac", "nan"], "leave room, got nan and 0.2"),
        (
            ["--column", "pixels=a"],
            "--column 'pixels=a' must be sample_id=NAME, image=NAME, label=NAME or caption=NAME",
        ),
        (["--column", "image="], "--column 'image=' must be"),
        (["--column", "image"], "--column 'image' must be"),
        (["--column", "image=a", "--column", "image=b"], "--column gives a role twice: image=a, image=b"),
        (["--shard-rows", "0"], "--shard-rows"),
        (["--decode", "5000"], "--decode"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    words: list[str], message: str, cu: Cu, tmp_path: Path
) -> None:
    with patch("cu_core.data.convert.pack", autospec=True) as pack:
        ran = cu("data", "pack", "digits", tmp_path / "out", *words)
    assert ran.status == 2
    assert message in ran.err
    pack.assert_not_called()


def test_inspect_counts_rows_by_class_and_split(cu: Cu, digits: Path, reader: ShardReader) -> None:
    ran = cu("data", "inspect", digits)
    assert ran.status == 0
    manifest = read_manifest(digits)
    assert f"digest {manifest.digest}" in ran.err
    assert "further columns: none" in ran.err
    lines = [line.strip("│ ").replace("│", " ").split() for line in ran.err.splitlines()]
    splits = ("train", "val", "test")
    counts = [int(np.sum(reader.labels(s, np.arange(reader.num_rows(s))) == 3)) for s in splits]
    assert ["3", "3", *map(str, counts)] in lines
    assert ["rows", *(str(reader.num_rows(s)) for s in splits)] in lines
    files = [sum((digits / x.path).stat().st_size for x in manifest.split_shards(s)) for s in splits]
    assert ["bytes", *map(str, files)] in lines


def test_inspect_of_images_as_files_tells_their_kind_alone(cu: Cu, tmp_path: Path) -> None:
    for number in range(20):
        file = tmp_path / "images" / f"class{number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
    assert cu("data", "pack", f"folder:{tmp_path / 'images'}", tmp_path / "out").status == 0
    assert "images: encoded; further columns: " in cu("data", "inspect", tmp_path / "out").err


def test_sound_data_are_told_and_problems_are_listed_and_counted(cu: Cu, digits: Path) -> None:
    sound = cu("data", "verify", digits)
    assert (sound.status, sound.out) == (0, "")
    assert "sound." in sound.err
    with patch("cu_core.data.verify.verify", autospec=True, return_value=[f"problem {i}" for i in range(60)]):
        ran = cu("data", "verify", digits)
    assert ran.status == 2
    assert ran.out.splitlines() == [f"problem {i}" for i in range(50)]
    assert ran.err.endswith(f"cu: {digits}: 60 problems found.\n")
