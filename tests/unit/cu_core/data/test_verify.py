"""Every fault of a shard set is named with its shard and row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cu_core.data import verify as verify_module
from cu_core.data.convert import SplitPlan, pack
from cu_core.data.schema import ShardInfo, read_manifest, write_manifest
from cu_core.data.shard_writer import Chunk, ShardWriter
from cu_core.data.sources import SourceOptions
from cu_core.data.verify import verify
from cu_core.files import sha256_of
from tests.conftest import pack_quietly
from tests.unit.cu_core.data.test_convert import no_progress, png


def flip(path: Path, folder: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "train-00000.arrow: its sha256 differs"),
        (lambda path, folder: path.write_bytes(path.read_bytes()[:-100]), "train-00000.arrow must have"),
        (lambda path, folder: path.unlink(), "found no file"),
    ],
    ids=["flipped byte", "truncated", "missing"],
)
def test_verify_names_the_damaged_shard(tmp_path: Path, damage: Callable[[Path, Path], None], message: str) -> None:
    packed = pack_quietly("digits", tmp_path / "d")
    assert verify(packed, no_progress) == []
    damage(packed / "train-00000.arrow", packed)
    assert any(message in line for line in verify(packed, no_progress))


def arrow_set(folder: Path, table: pa.Table, name: str = "a.arrow") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(str(folder / name), table.schema) as out:
        out.write_table(table)
    return folder / name


def test_verify_names_rows(tmp_path: Path) -> None:
    """The shard is changed after it was registered, and the manifest with it."""
    good = pa.table({"sample_id": [1, 2, 3], "image": [png(0), png(2), png(1)], "label": [0, 1, 1]})
    arrow_set(tmp_path / "mine", good)
    pack(f"arrow:{tmp_path / 'mine'}", tmp_path / "index", SplitPlan(), SourceOptions(), no_progress)
    table = pa.table({"sample_id": [1, 2, 1], "image": [png(0), b"no image", png(1)], "label": [0, -1, 1]})
    path = arrow_set(tmp_path / "mine", table)
    manifest = read_manifest(tmp_path / "index")
    changed = replace(manifest.shards[0], bytes=path.stat().st_size, sha256=sha256_of(path), ranges={})
    write_manifest(tmp_path / "index", replace(manifest, shards=(changed,)))
    text = "\n".join(verify(tmp_path / "index", no_progress))
    assert "row 1: label -1 is outside 0..1" in text
    assert "row 1: the image does not decode" in text
    assert "sample_id 1 occurs more than once" in text
    assert "row 0 and shard" in text


def test_verify_names_ranges_that_would_hide_rows(tmp_path: Path) -> None:
    packed = pack_quietly("digits", tmp_path / "d")
    manifest = read_manifest(packed)
    first = manifest.shards[0]
    wider, narrower = {"label": (0, 12)}, {"label": (0, 8)}
    for ranges, problems in ((wider, 0), (narrower, 1)):
        write_manifest(packed, replace(manifest, shards=(replace(first, ranges=ranges), *manifest.shards[1:])))
        found = verify(packed, no_progress)
        assert len(found) == problems
    assert "column label holds 0 to 9, the manifest says 0 to 8" in found[0]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Three shards of train rows with ids 0 to 5, and one val row with id 6."""
    with ShardWriter(tmp_path / "set", "set", ["a", "b"], "test", shard_rows=2) as writer:
        writer.add(Chunk("train", np.zeros((6, 1, 2, 2), np.uint8), np.arange(6) % 2, np.arange(6)))
        writer.add(Chunk("val", np.zeros((1, 1, 2, 2), np.uint8), np.array([0]), np.array([6])))
        writer.finish()
    return tmp_path / "set"


def rewrite(folder: Path, number: int, **columns: list[int]) -> None:
    """Change columns of a shard, and its checksum with them."""
    manifest = read_manifest(folder)
    info = manifest.shards[number]
    path = folder / info.path
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.int64()))
    with pa.ipc.new_file(str(path), table.schema) as out:
        for start in range(len(table)):  # a record batch a row
            out.write_table(table.slice(start, 1))
    changed = replace(info, bytes=path.stat().st_size, sha256=sha256_of(path), ranges={}, batch_rows=(1,) * len(table))
    shards = tuple(changed if s == info else s for s in manifest.shards)
    write_manifest(folder, replace(manifest, shards=shards))


def test_progress_counts_every_shard(packed: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(packed, lambda done, total: seen.append((done, total))) == []
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_row_is_numbered_in_its_shard_not_in_its_batch(packed: Path) -> None:
    rewrite(packed, 1, label=[0, 2])
    assert verify(packed, no_progress) == ["shard train-00001.arrow, row 1: label 2 is outside 0..1."]


def test_an_id_may_not_occur_in_two_splits(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many passes the ids are looked through in."""
    rewrite(packed, 3, sample_id=[3])
    wanted = ["sample_id 3 occurs more than once: shard train-00001.arrow, row 1 and shard val-00000.arrow, row 0."]
    assert verify(packed, no_progress) == wanted
    monkeypatch.setattr(verify_module, "IDS_PER_PASS", 2)
    assert verify(packed, no_progress) == wanted


def test_what_was_not_looked_for_is_said(packed: Path) -> None:
    """A second fault is named beside the damaged shard."""
    rewrite(packed, 0, label=[0, 7])
    rewrite(packed, 3, sample_id=[3])
    (packed / "train-00002.arrow").unlink()
    found = verify(packed, no_progress)
    assert len(found) == 2
    assert "label 7 is outside" in found[0]
    assert found[1].endswith("Duplicate ids were not looked for: first mend the shards.")


def test_a_range_wider_than_the_values_hides_nothing(packed: Path) -> None:
    manifest = read_manifest(packed)

    def with_ranges(ranges: dict[str, tuple[int, int]]) -> list[str]:
        first: ShardInfo = replace(manifest.shards[0], ranges=ranges)  # holds the ids 0 and 1
        write_manifest(packed, replace(manifest, shards=(first, *manifest.shards[1:])))
        return verify(packed, no_progress)

    assert with_ranges({"sample_id": (-1, 2)}) == with_ranges({"sample_id": (0, 1)}) == []
    (too_high,) = with_ranges({"sample_id": (1, 1)})
    assert "column sample_id holds 0 to 1, the manifest says 1 to 1" in too_high
