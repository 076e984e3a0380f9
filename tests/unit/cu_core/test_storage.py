"""Copies of what lies at an address; a second machine is another cache."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cu_core.checkpoint import load_weights, save_model
from cu_core.config_io import config_from
from cu_core.data.convert import SplitPlan, pack
from cu_core.data.schema import ShardInfo
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError, UserError
from cu_core.files import load_arrays, save_arrays, write_text
from cu_core.storage import address, cache, fetched, make_room, named_file, names, place, remove
from cu_core.yaml_io import config_file


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "first"))
    (tmp_path / "bucket").mkdir()
    return f"file://{tmp_path / 'bucket'}"


def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "second"))


def test_a_folder_is_itself_and_an_address_its_copy(bucket: str, tmp_path: Path) -> None:
    assert place("data/digits") == Path.cwd() / "data" / "digits"
    assert address(place("data/digits")) is None
    assert address(place(f"{bucket}/out")) == f"{bucket}/out"
    assert place(place(f"{bucket}/out")) == place(f"{bucket}/out")
    assert place("s3://some/where/") == tmp_path / "first" / "s3" / "some" / "where"
    assert address(cache()) is None


def test_what_is_relative_lies_under_the_root(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_ROOT", bucket)
    config = config_from({"data": {"path": "data/x"}, "storage": "out"})
    assert address(config.store) == f"{bucket}/out"
    monkeypatch.setenv("CU_ROOT", "/shared/project/")
    assert config_from({"storage": "out"}).store == Path("/shared/project/out")
    assert config_from({"storage": "/elsewhere"}).store == Path("/elsewhere")


@pytest.mark.parametrize(
    "text", ["s3://bucket/../../../home/u/run", "file:///../../x", "gs://..", "s3://./x", "s3://b/a/.."]
)
def test_an_address_does_not_lead_out_of_its_folder(bucket: str, text: str) -> None:
    with pytest.raises(UserError, match=r"no parts '\.' and '\.\.': write out the folder, got"):
        place(text)


def test_nor_does_what_is_below_a_root(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CU_ROOT", bucket)
    assert address(place("./data/./x")) == f"{bucket}/data/x"
    assert address(place(".")) == bucket
    with pytest.raises(UserError, match=r"no parts '\.' and '\.\.'"):
        place("../../x")
    monkeypatch.setenv("CU_ROOT", "/shared/project")
    assert place("../other") == Path("/shared/other")


def test_a_model_goes_from_one_machine_to_another(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"w": torch.arange(6.0)}
    save_model(place(f"{bucket}/models/a"), weights, {"seed": 1})
    another_machine(tmp_path, monkeypatch)
    folder = place(f"{bucket}/models/a")
    assert not folder.exists()
    assert fetched(folder / "meta.json")
    assert not fetched(folder.with_name("b") / "meta.json")
    assert torch.equal(load_weights(folder)["w"], weights["w"])
    assert [p.name for p in folder.iterdir() if not p.name.startswith(".")]


def test_half_sent_folders_are_not_there(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bucket" / "models" / "a").mkdir(parents=True)
    (tmp_path / "bucket" / "models" / "a" / "model.safetensors").write_bytes(b"half")
    assert not fetched(place(f"{bucket}/models/a") / "meta.json")


def packed(bucket: str) -> Path:
    out = place(f"{bucket}/data/digits")
    pack("digits", out, SplitPlan(val_frac=0.2), SourceOptions(), lambda done, total: None)
    return out


def test_only_shards_that_are_read_are_fetched_and_the_oldest_make_room(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ShardReader(packed(bucket))
    another_machine(tmp_path, monkeypatch)
    folder = place(f"{bucket}/data/digits")
    reader = ShardReader(folder)
    assert reader.manifest.digest == here.manifest.digest
    assert not list(folder.glob("*.arrow"))
    rows = np.arange(5)
    assert torch.equal(reader.images("train", rows), here.images("train", rows))
    (first,) = folder.rglob("*.arrow")
    os.utime(first, (1, 1))
    monkeypatch.setenv("CU_CACHE_GB", "1e-9")
    reader.labels("test", rows)
    assert not first.exists()
    assert torch.equal(reader.images("train", rows), here.images("train", rows)), "a mapped shard stays readable"


def test_a_shard_that_changed_on_the_way_is_refused(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(bucket)
    another_machine(tmp_path, monkeypatch)
    (damaged,) = (tmp_path / "bucket" / "data" / "digits").rglob("*test*.arrow")
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(DataError, match=r"sha256 differs"):
        ShardReader(place(f"{bucket}/data/digits")).labels("test", np.arange(3))


def test_a_file_written_again_replaces_the_one_at_the_address(bucket: str, tmp_path: Path) -> None:
    write_text(place(f"{bucket}/runs/a") / "run.json", "1")
    write_text(place(f"{bucket}/runs/a") / "run.json", "2")
    assert (tmp_path / "bucket" / "runs" / "a" / "run.json").read_text() == "2"


def test_what_grows_is_read_as_the_last_machine_wrote_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cu_core.storage.GROWING", {"steps.json"})
    first = place(f"{bucket}/runs/a") / "steps.json"
    write_text(first, "1")
    another_machine(tmp_path, monkeypatch)
    second = place(f"{bucket}/runs/a") / "steps.json"
    assert fetched(second)
    write_text(second, "1 2")
    monkeypatch.setenv("CU_CACHE", str(tmp_path / "first"))
    assert fetched(first)
    assert first.read_text() == "1 2"


def test_a_shard_that_a_neighbour_dropped_is_brought_again(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ShardReader(packed(bucket))
    another_machine(tmp_path, monkeypatch)
    reader = ShardReader(place(f"{bucket}/data/digits"))
    bring, dropped = ShardReader.bring, []

    def dropping(self: ShardReader, shard: ShardInfo) -> None:
        bring(self, shard)
        path = self.shard_path(shard)
        if not dropped:
            dropped.append(path)
            path.unlink()

    monkeypatch.setattr(ShardReader, "bring", dropping)
    rows = np.arange(5)
    assert torch.equal(reader.images("train", rows), here.images("train", rows))
    assert dropped


def test_a_file_that_a_user_names_is_looked_for_here_and_then_under_the_root(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CU_ROOT", bucket)
    write_text(place("ids.txt"), "1\n2\n")
    another_machine(tmp_path, monkeypatch)
    assert named_file("ids.txt").read_text() == "1\n2\n"
    assert named_file(f"{bucket}/ids.txt") == named_file("ids.txt")
    assert config_file(f"{bucket}/ids.txt").read_text() == "1\n2\n"
    (tmp_path / "bucket" / "ids.txt").write_text("1\n")  # another request, by another machine
    assert named_file("ids.txt").read_text() == "1\n"
    (tmp_path / "here" / "ids.txt").write_text("3\n")
    assert named_file("ids.txt").read_text() == "3\n"
    assert not named_file("absent.txt").exists()


def test_a_result_depends_on_what_named_files_hold_not_on_where_they_lie(tmp_path: Path) -> None:
    digests = []
    for name, text in (("a", "1\n2\n"), ("b", "1\n2\n"), ("c", "1\n3\n")):
        (tmp_path / f"{name}.safetensors").write_text(text)
        weights = {"weights": str(tmp_path / f"{name}.safetensors")}
        digests.append(config_from({"model": weights}).result_digest("data", "forget"))
    assert digests[0] == digests[1] != digests[2]


def test_what_is_removed_is_removed_at_the_address_too(bucket: str, tmp_path: Path) -> None:
    for name in ("folder/page.html", "page.html"):
        write_text(place(f"{bucket}/out/{name}"), "pictures")
    for name in ("folder", "page.html", "absent"):
        remove(place(f"{bucket}/out/{name}"))
    assert names(place(f"{bucket}/out")) == []
    assert [path.name for path in (tmp_path / "bucket").rglob("*.html")] == []


def test_arrays_and_names_come_from_the_machine_that_wrote_them(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_arrays(place(f"{bucket}/pool/a") / "oracle.npz", {"x": np.arange(3)})
    another_machine(tmp_path, monkeypatch)
    folder = place(f"{bucket}/pool/a")
    assert names(folder) == ["oracle.npz"]
    np.testing.assert_array_equal(load_arrays(folder / "oracle.npz")["x"], np.arange(3))
    remove(folder)
    assert names(folder) == names(place(f"{bucket}/nowhere")) == []


def test_shards_that_are_not_sent_yet_do_not_make_room(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packed(bucket)
    whole = sorted(folder.rglob("*.arrow"))
    partial = folder.with_name(".digits.partial")
    unsent = folder.with_name("fresh")
    for other in (partial, unsent):
        other.mkdir()
        (other / "train-00000.arrow").write_bytes(b"x" * 1000)
    (unsent / ".unsent").touch()
    monkeypatch.setenv("CU_CACHE_GB", "1e-9")
    make_room(whole[0])
    assert sorted(folder.rglob("*.arrow")) == whole[:1]
    assert (partial / "train-00000.arrow").exists()
    assert (unsent / "train-00000.arrow").exists()
    assert not list(folder.rglob(".unsent"))


def test_an_address_holds_no_password() -> None:
    with pytest.raises(UserError, match="must hold no user and no password") as told:
        place("s3://KEY:hunter2@bucket/data")
    assert "hunter2" not in str(told.value)
    assert place("s3://bucket/a@b").name == "a@b"
