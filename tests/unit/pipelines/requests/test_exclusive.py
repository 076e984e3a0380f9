from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cu_core.errors import ConfigError
from cu_core.leftovers import machine
from cu_core.storage import place
from pipelines.requests import exclusive
from pipelines.requests.exclusive import create


def test_a_file_is_created_once(tmp_path: Path) -> None:
    create(tmp_path / "a" / "1.json", b"first")
    with pytest.raises(FileExistsError):
        create(tmp_path / "a" / "1.json", b"second")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["1.json"]
    assert (tmp_path / "a" / "1.json").read_bytes() == b"first"


def test_what_a_killed_writer_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / f".1.json.{machine()}-999999999.partial").write_bytes(b"half")
    create(tmp_path / "1.json", b"first")
    assert [p.name for p in tmp_path.iterdir()] == ["1.json"]


def test_a_shared_disk_is_written_at_its_address(tmp_path: Path) -> None:
    path = place(f"file://{tmp_path}/shared/1.json")
    create(path, b"first")
    assert (tmp_path / "shared" / "1.json").read_bytes() == b"first"
    with pytest.raises(FileExistsError):
        create(path, b"second")


class Bucket:
    """What an object store does with a conditional put."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str) -> None:  # noqa: N803
        assert IfNoneMatch == "*"
        if Key in self.held:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        if Bucket != "b":
            raise ClientError({"Error": {"Code": "NoSuchBucket"}}, "PutObject")
        self.held[Key] = Body


def test_an_object_is_put_on_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket: Any = Bucket()
    monkeypatch.setattr(exclusive, "_client", lambda: bucket)
    create(place("s3://b/ledgers/1.json"), b"first")
    assert bucket.held == {"ledgers/1.json": b"first"}
    with pytest.raises(FileExistsError):
        create(place("s3://b/ledgers/1.json"), b"second")
    with pytest.raises(ConfigError, match="s3://c/1.json: .*NoSuchBucket"):
        create(place("s3://c/1.json"), b"first")


def test_a_store_without_conditions_is_refused() -> None:
    with pytest.raises(ConfigError, match="gs://b/1.json: a ledger needs files that one writer alone can create"):
        create(place("gs://b/1.json"), b"first")
