"""Image bytes that lie, by command: one line and exit status 2, or left out and counted; never a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from cu_core.data.images import is_animated, pixels
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError
from pipelines.cli import main as cli
from tests.hostile import fuzz, fuzz_images
from tests.pictures import encoded, grey_file, picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
JPEG = encoded(picture(np.random.default_rng(0), 40, 40), "jpeg")
PNG = encoded(picture(np.random.default_rng(0), 40, 40), "png")
FRAME = Image.new("RGB", (9, 9), (255, 255, 255))
MOVING = encoded(FRAME, "gif", save_all=True, append_images=[Image.new("RGB", (9, 9))])
BAD = {
    "empty.jpg": b"",
    "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
    "half.jpg": JPEG[: len(JPEG) // 2],
    "cut.png": PNG[: len(PNG) // 2],
    "flipped.png": PNG[:200] + bytes(b ^ 0x55 for b in PNG[200:203]) + PNG[203:],
    "float.jpg": encoded(Image.new("F", (9, 9)), "tiff"),
    "bomb.png": encoded(Image.new("1", (8000, 7000)), "png"),
    "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "pointer.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            (tmp_path / "images" / name / f"{i}.png").write_bytes(grey_file(10 * i, size=(12, 14)))
    return tmp_path / "images"


def cu(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run the command; its exit status."""
    monkeypatch.setattr(sys, "argv", ["cu", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def add_bad(folder: Path) -> None:
    for name, data in BAD.items():
        (folder / "cat" / name).write_bytes(data)


def test_pack_names_every_bad_file_and_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_bad(folder)
    assert cu(monkeypatch, "data", "pack", f"folder:{folder}", tmp_path / "out") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{len(BAD)} in all" in line
    assert all(f"cat/{name}: " in line for name in BAD)
    assert "56,000,000 pixels, the bound is 50,000,000" in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_bad_files_are_left_out_and_counted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_bad(folder)
    (folder / "dog" / "moving.gif").write_bytes(MOVING)
    (folder / "dog" / "Thumbs.db").write_bytes(b"x")
    assert cu(monkeypatch, "data", "pack", f"folder:{folder}", tmp_path / "out", "--skip-bad") == 0
    notes = json.loads((tmp_path / "out" / "manifest.json").read_text())["notes"]
    assert notes == {
        "skipped Thumbs.db": 1,
        "animated or of several pages, read: the first": 1,
        "left out, does not decode": len(BAD),
    }
    printed = capsys.readouterr().err
    assert all(f"{what}: {count}" in printed for what, count in notes.items())
    assert sum(ShardReader(tmp_path / "out").num_rows(s) for s in ("train", "val", "test")) == 13
    assert cu(monkeypatch, "data", "verify", tmp_path / "out") == 0


def test_verify_names_every_bad_row(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packed without the check; training, too, names the row."""
    add_bad(folder)
    (folder / "cat" / "bomb.png").unlink()  # readers take larger images than packs
    assert cu(monkeypatch, "data", "pack", f"folder:{folder}", tmp_path / "out", "--no-check", "--test-frac=0") == 0
    capsys.readouterr()
    assert cu(monkeypatch, "data", "verify", tmp_path / "out") == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if "row" in line]
    assert len(lines) == len(BAD) - 1
    assert all(", row " in line for line in lines)
    assert f"{len(BAD) - 1} problems found" in printed.err
    reader = ShardReader(tmp_path / "out", 8)
    with pytest.raises(DataError, match=r"shard train-00000\.arrow, row \d+: the image does not decode"):
        reader.images("train", np.arange(reader.num_rows("train")))


def test_a_stored_image_of_one_size_is_what_training_would_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "dog" / "moving.gif").write_bytes(MOVING)
    assert cu(monkeypatch, "data", "pack", f"folder:{folder}", tmp_path / "files") == 0
    assert cu(monkeypatch, "data", "pack", f"folder:{folder}", tmp_path / "tensors", "--decode", "8") == 0
    files, tensors = ShardReader(tmp_path / "files", image_size=8), ShardReader(tmp_path / "tensors")
    assert tensors.manifest.image_shape == (3, 8, 8)
    for split in ("train", "test"):
        rows = np.arange(files.num_rows(split))
        assert (files.images(split, rows) == tensors.images(split, rows)).all()
        assert (files.sample_ids(split, rows) == tensors.sample_ids(split, rows)).all()


def test_a_bad_image_of_a_registered_shard_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    files = [grey_file(1), JPEG[:99], b"", MOVING, b"words"]
    table = pa.table({"sample_id": range(5), "image": pa.array(files, pa.binary()), "label": [0] * 5})
    with pa.ipc.new_file(str(tmp_path / "mine" / "train.arrow"), table.schema) as out:
        out.write_table(table)
    source = f"arrow:{tmp_path / 'mine'}"
    assert cu(monkeypatch, "data", "pack", source, tmp_path / "index") == 2
    assert "3 in all" in capsys.readouterr().err
    assert cu(monkeypatch, "data", "pack", source, tmp_path / "index", "--no-check") == 0
    capsys.readouterr()
    assert cu(monkeypatch, "data", "verify", tmp_path / "index") == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if "the image" in line]
    assert [line.partition(", ")[2][:6] for line in lines] == ["row 1:", "row 2:", "row 4:"]


@pytest.mark.parametrize("kind", fuzz_images.FORMATS)
def test_mutated_files_decode_or_raise_one_error(kind: str) -> None:
    for number in range(80):
        data = fuzz_images.damaged_file(kind, 20, number)
        for call in (is_animated, pixels):
            try:
                call(data)
            except DataError as error:
                lines = str(error).splitlines()
                if len(lines) != 1:
                    pytest.fail(f"file {number}: {lines}")


def test_the_fuzzer_counts_answers_and_sees_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process: a decoder that dies of the third file is started again behind it."""
    code = (
        "import os, sys; from tests.hostile import fuzz_images as f; "
        "f.DECODERS['ours'] = lambda d: os.abort() if d == f.damaged_file('png', 1, 2) else None; sys.exit(f.main())"
    )
    real = subprocess.Popen
    monkeypatch.setattr(
        fuzz_images.subprocess, "Popen", lambda words, **k: real([sys.executable, "-c", code, *words[5:]], **k)
    )
    tally = fuzz_images.run("ours", "png", 1, 0, 5)
    assert tally.answers == {"decoded": 4}
    assert tally.crashes == ["exit -6, file 2"]
    assert fuzz_images.faults("ours", "png", 1, tally) == ["ours, png, seed 1: exit -6, file 2"]


def test_other_exceptions_are_faults() -> None:
    tally = fuzz_images.Tally()
    tally.answers.update({"decoded": 5, "DataError": 3, "TypeError": 2})
    assert fuzz_images.faults("ours", "gif", 7, tally) == ["ours, gif, seed 7: 2 x TypeError"]


def test_the_dispatcher_ends_with_status_1_on_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "TARGETS", {"a": lambda seconds, seed: [f"{seconds} {seed}"], "b": lambda *_: []})
    for words, status in ((["a", "b", "--seconds", "2", "--seed", "3"], 1), (["b"], 0)):
        monkeypatch.setattr(sys, "argv", ["fuzz", *words])
        assert fuzz.main() == status
    assert capsys.readouterr().out.splitlines() == ["a: 2.0 3", "no faults"]
