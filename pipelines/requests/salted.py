"""Keyed hashes of ids: whoever has the model's salt can show that an id is in the ledger; without it nobody can."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cu_core.data.sample_ids import hashed_id
from cu_core.errors import ConfigError, DamagedFile
from cu_core.storage import fetched
from pipelines.requests.exclusive import create

ROW = "row"
"""What precedes a sample_id; ids of another column have the column's name."""


@dataclass(frozen=True, repr=False)
class Salt:
    """256 random bits of a model."""

    secret: bytes

    def of(self, text: str) -> str:
        """HMAC-SHA256 of a text, in hex."""
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def of_ids(self, column: str, ids: Iterable[object]) -> list[str]:
        """Keyed hashes of ids of a column, sorted, so that their order tells nothing."""
        return sorted(self.of(f"{column}:{one}") for one in ids)


def new_salt(path: Path) -> Salt:
    """Write a new salt, which its owner alone can read, unless there is one."""
    with contextlib.suppress(FileExistsError):
        create(path, secrets.token_hex(32).encode(), private=True)
    return read_salt(path)


def read_salt(path: Path) -> Salt:
    """Raises: ConfigError if there is none; DamagedFile if the file holds something else."""
    if not fetched(path):
        raise ConfigError(f"no salt {path}: without it ids cannot be compared with the ledger; bring it from a copy.")
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise DamagedFile(f"{path} is damaged: a salt has 64 hex digits; bring it from a copy.")
    return Salt(bytes.fromhex(text))


def readings(text: str, columns: Iterable[str]) -> list[str]:
    """The texts that an id may stand as in a list of keyed hashes: as it is, as the hash that ``cu data pack`` makes
    of ids that are no whole numbers, and as a value of other columns."""
    return [f"{ROW}:{text}", f"{ROW}:{hashed_id(text)}", *(f"{column}:{text}" for column in columns)]
