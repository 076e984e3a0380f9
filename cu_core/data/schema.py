"""The manifest of a shard set: what is where, in which form, with which checksum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from cu_core.data.manifest_checks import check_manifest
from cu_core.errors import DataError
from cu_core.files import digest_of, write_text
from cu_core.storage import fetched, shown

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
CAPTION = "caption"
"""Column with one caption or a list of them."""
MAX_MANIFEST_BYTES = 2**30
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


Ranges = Mapping[str, tuple[int, int] | tuple[float, float] | tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """One Arrow IPC file."""

    path: str
    """Relative to the manifest, or absolute for shards that were registered where they lay."""
    split: Split
    batch_rows: tuple[int, ...]
    """Rows of each record batch."""
    bytes: int
    sha256: str
    ranges: Ranges = field(default_factory=dict)
    """Least and greatest value of columns; absent ones may hold anything."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.batch_rows)


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Rows that were taken out of a packed data set."""

    parent: str
    """Digest of the data before."""
    rows: Mapping[Split, int]
    """Number of rows that were dropped, by split."""
    files: tuple[str, ...] = ()
    """Shards of the parent that held them; deleted."""
    requests: tuple[str, ...] = ()
    """Deletion requests for which they were dropped, as `cu requests` calls them."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Index of a shard set."""

    name: str
    image_kind: Literal["tensor", "encoded"]
    """``tensor``: fixed-shape uint8 (channels, H, W); ``encoded``: bytes of an image file."""
    image_shape: tuple[int, int, int] | None
    """(channels, H, W) of a tensor column; absent for encoded images."""
    class_names: tuple[str, ...]
    shards: tuple[ShardInfo, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name in the shards of ``sample_id``, ``image`` and ``label`` where it differs; ``own_id``: column of the user's
    own ids, where ``sample_id`` is made from them (``sample_ids.hashed_id``)."""
    extra_columns: tuple[str, ...] = ()
    pixel_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Per channel, of pixels in 0..1."""
    pixel_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    format_version: int = FORMAT_VERSION
    source: str = ""
    notes: Mapping[str, int] = field(default_factory=dict)
    """What was left out when packing, or is read in another way than might be expected, and how many."""
    half: int | None = None
    """Read only a random half of the training rows, drawn by a hash of the sample_id with this key."""
    label_values: tuple[int, ...] = ()
    """Label in the source of each class, where it is another number."""
    dropped: tuple[Dropped, ...] = ()
    """Versions of the data before this one, the oldest first; empty for data as they were packed."""

    def column(self, name: str) -> str:
        """Return the name in the shards of a column."""
        return self.columns.get(name, name)

    def split_shards(self, split: Split) -> list[ShardInfo]:
        """Return the shards of a split."""
        return [s for s in self.shards if s.split == split]

    def num_rows(self, split: Split) -> int:
        """Return the number of rows of a split."""
        return sum(s.rows for s in self.split_shards(split))

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def digest(self) -> str:
        """Hash of the data; changes with any byte of any shard, and does not depend on where the shards lie."""
        content = asdict(self)
        content["shards"] = [{k: v for k, v in s.items() if k not in ("path", "ranges")} for s in content["shards"]]
        left_out = {"source", "name", "label_values", "notes", "dropped"} | ({"half"} if self.half is None else set())
        return digest_of({k: v for k, v in content.items() if k not in left_out})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a packed data set.

    Raises:
        DataError: The manifest does not exist, does not parse, has another format version, or contradicts itself.
    """
    path = folder if folder.suffix == ".json" else folder / MANIFEST
    if not fetched(path):
        hint = "make one with `cu data pack SOURCE OUT`"
        raise DataError(f"no {MANIFEST} in {shown(folder)}: not a packed data set; {hint}.")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise DataError(f"{path} has {path.stat().st_size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}.")
    try:
        manifest = TypeAdapter(Manifest).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path} is not a valid manifest: {where or 'file'}: {first['msg'][:300]}.") from error
    if manifest.format_version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format {manifest.format_version}, this version reads {FORMAT_VERSION}; pack again."
        )
    check_manifest(manifest, path)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a folder."""
    write_text(folder / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
