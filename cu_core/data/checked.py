"""Checks that a shard is what was packed: by sha256 once per machine, later by size and time of change."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from cu_core.data.schema import ShardInfo
from cu_core.errors import DataError
from cu_core.files import digest_of, sha256_of
from cu_core.leftovers import partial_name
from cu_core.storage import cache, shown


def check_shard(path: Path, shard: ShardInfo, copy: Path | None = None, anew: bool = False) -> None:
    """Compare a shard with the manifest.

    The sha256 is computed if this machine has not computed it since the file last changed, or if ``anew`` is set.

    Args:
        path: Path of the shard.
        shard: Its entry in the manifest.
        copy: Temporary file that holds the bytes until they are verified. Default: ``path``.
        anew: Whether the sha256 is computed in any case.

    Raises:
        DataError: The bytes are not those that were packed.
        FileNotFoundError: The file does not exist.
    """
    file = copy or path
    found = file.stat()
    if found.st_size != shard.bytes:
        raise DataError(
            f"shard {shown(path)} must have {shard.bytes} bytes, found {found.st_size} bytes; pack the data again."
        )
    state = [shard.sha256, found.st_size, found.st_mtime_ns, found.st_ino]
    record = cache() / "checked" / f"{digest_of(str(path))}.json"
    if not anew and _recorded(record) == state:
        return
    if sha256_of(file) != shard.sha256:
        raise DataError(
            f"shard {shown(path)}: its sha256 differs from the manifest's (a byte flipped, or it was changed after "
            f"packing); pack the data again."
        )
    with contextlib.suppress(OSError):  # without a place for the record it is checked by every process
        record.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_name(record)  # not synced: a record that is lost or cut off costs one more reading
        partial.write_text(json.dumps(state))
        partial.replace(record)


def _recorded(record: Path) -> object:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):  # none yet, or one that was cut off
        return None
