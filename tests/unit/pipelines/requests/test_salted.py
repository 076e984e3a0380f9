from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from cu_core.data.sample_ids import hashed_id
from cu_core.errors import ConfigError, DamagedFile
from pipelines.requests.salted import Salt, new_salt, read_salt, readings


def test_an_id_is_hashed_with_the_salt() -> None:
    salt = Salt(b"k" * 32)
    assert salt.of("row:7") == hmac.new(b"k" * 32, b"row:7", hashlib.sha256).hexdigest()
    assert salt.of_ids("row", [7, 8]) == sorted([salt.of("row:7"), salt.of("row:8")])
    assert "kkk" not in repr(salt)


def test_a_salt_is_for_its_owner_and_new_for_every_model(tmp_path: Path) -> None:
    first, other = new_salt(tmp_path / "a" / "salt"), new_salt(tmp_path / "b" / "salt")
    assert first.secret != other.secret
    assert (tmp_path / "a" / "salt").stat().st_mode & 0o777 == 0o600
    assert read_salt(tmp_path / "a" / "salt") == first
    assert new_salt(tmp_path / "a" / "salt") == first, "a second one would make the ledger unreadable"


def test_a_salt_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no salt .*bring it from a copy"):
        read_salt(tmp_path / "salt")
    (tmp_path / "salt").write_text("abc")
    with pytest.raises(DamagedFile, match="a salt has 64 hex digits"):
        read_salt(tmp_path / "salt")


def test_an_id_may_be_a_number_a_text_or_a_user() -> None:
    assert readings("17", ["user_id"]) == ["row:17", f"row:{hashed_id('17')}", "user_id:17"]
