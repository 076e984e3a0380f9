"""A file that is created whole or not at all, and by one writer only."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from cu_core.errors import ConfigError
from cu_core.files import for_owner, settle
from cu_core.leftovers import partial_name, sweep
from cu_core.messages import reason_of
from cu_core.storage import address

UNLINKED = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


def create(target: Path, content: bytes, private: bool = False) -> None:
    """Create a file; of several writers of one name, one succeeds, and a killed one leaves no file or a whole one.

    On disks, shared ones too, the file is written under another name and linked. At an s3:// address it is put with
    ``If-None-Match: *``. With ``private`` its owner alone can read it.

    Raises:
        FileExistsError: The file exists.
        ConfigError: The storage cannot create a file exclusively.
    """
    check_exclusive(target)
    where = address(target)
    if where is None:
        _link(target, content, private)
    elif where.startswith("file://"):
        _link(Path(where.removeprefix("file://")), content, private)
    else:
        _put(target, where, content)


def check_exclusive(path: Path) -> None:
    """Raises: ConfigError if files at this place cannot be created exclusively, before anything is asked there."""
    where = address(path)
    if where is not None and not where.startswith(("file://", "s3://")):
        raise ConfigError(
            f"{where}: a ledger needs files that one writer alone can create: on a disk, a shared disk, or at an "
            f"s3:// address."
        )


def _link(target: Path, content: bytes, private: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    partial = partial_name(target)
    try:
        (for_owner(partial) if private else partial).write_bytes(content)
        settle(partial)
        os.link(partial, target)
        settle_name(target.parent)
    except OSError as error:
        if error.errno in UNLINKED:
            raise ConfigError(f"{target}: its file system cannot link files, which a ledger needs.") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def settle_name(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _put(target: Path, where: str, content: bytes) -> None:
    from botocore.exceptions import ClientError

    bucket, _, key = where.removeprefix("s3://").partition("/")
    try:
        _client().put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] in TAKEN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise ConfigError(f"{where}: {reason_of(error, 300)}") from error


def _client() -> Any:
    import boto3

    return boto3.client("s3")
