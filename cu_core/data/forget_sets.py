"""Forget sets: the rows of a resolved request, with those of earlier ones, and the file that keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cu_core.data.order import Rows
from cu_core.data.request_copies import FoundCopies
from cu_core.errors import DataError
from cu_core.files import atomic_folder, digest_of, for_owner
from cu_core.storage import fetch, fetched
from cu_core.stored import damaged
from cu_core.types import RequestKind

BEFORE = "before"
"""Column of a forget set's file: rows that earlier requests forgot; absent if there are none."""


@dataclass(frozen=True)
class ForgetSet:
    """A resolved request: the rows to forget, sorted."""

    kind: RequestKind
    classes: tuple[int, ...]
    """Classes of a class request; empty for samples."""
    rows: Rows
    """Rows of the train split, ascending."""
    sample_ids: Rows
    """Their ids, in the order of ``rows``."""
    data_digest: str
    notes: tuple[str, ...] = ()
    """What whoever asks must know of how the rows were found; not kept in files."""
    copies: FoundCopies | None = None
    """Copies of the rows that the request names, if it asks for them; not kept in files."""
    before: ForgetSet | None = None
    """What was forgotten by earlier requests: rows that no set of the run may contain."""

    def __post_init__(self) -> None:
        if self.before is not None and (again := int(np.isin(self.rows, self.before.rows).sum())):
            raise DataError(f"{again} of {len(self.rows)} forget rows were forgotten before; leave them out.")

    @cached_property
    def gone(self) -> Rows:
        """Rows that are forgotten now or were forgotten before, ascending."""
        return self.rows if self.before is None else np.union1d(self.rows, self.before.rows)

    @cached_property
    def gone_ids(self) -> Rows:
        """Ids of the rows that are forgotten now or were forgotten before."""
        return self.sample_ids if self.before is None else np.union1d(self.sample_ids, self.before.sample_ids)

    def __repr__(self) -> str:
        return f"ForgetSet(kind={self.kind!r}, classes={self.classes}, {len(self.rows)} rows, digest={self.digest!r})"

    @property
    def digest(self) -> str:
        """Hash of kind, classes, sample_ids and data, and of what was forgotten before."""
        own = [self.kind, self.classes, sorted(self.sample_ids.tolist()), self.data_digest]
        return digest_of(own if self.before is None else [*own, self.before.digest])


def save_forget_set(folder: Path, forget: ForgetSet) -> Path:
    """Write ``folder/<digest>/forget.arrow`` unless it exists, and return the file."""
    target = folder / forget.digest
    if not fetched(target / "forget.arrow"):
        sets = [forget] if forget.before is None else [forget, forget.before]
        meta = {"data": forget.data_digest, "digest": forget.digest}
        for prefix, one in zip(("", BEFORE), sets, strict=False):
            meta |= {f"{prefix}kind": one.kind, f"{prefix}classes": ",".join(map(str, one.classes))}
        columns = {
            "sample_id": np.concatenate([one.sample_ids for one in sets]),
            "row": np.concatenate([one.rows for one in sets]),
        }
        if forget.before is not None:
            columns[BEFORE] = np.arange(len(columns["row"])) >= len(forget.rows)
        table = pa.table(columns).replace_schema_metadata(meta)
        with (
            atomic_folder(target) as partial,
            pa.ipc.new_file(str(for_owner(partial / "forget.arrow")), table.schema) as out,
        ):
            out.write_table(table)
    return target / "forget.arrow"


def load_forget_set(path: Path, data_digest: str) -> ForgetSet:
    """Read a saved forget set.

    Args:
        path: The file that ``save_forget_set`` wrote.
        data_digest: Digest of the data set in use.

    Returns:
        The forget set.

    Raises:
        DataError: The file is damaged, or the request was resolved on other data.
    """
    fetch(path)
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        earlier = BEFORE in table.column_names
        before = _part(table.filter(pc.field(BEFORE)), meta, BEFORE) if earlier else None
        forget = _part(table.filter(~pc.field(BEFORE)) if earlier else table, meta, "", before)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise damaged(path, error, f"delete {path.parent}, and the request is resolved again") from error
    if forget.data_digest != data_digest or forget.digest != meta["digest"]:
        raise DataError(f"{path} was resolved on other data or is damaged; resolve the request again.")
    return forget


def _part(table: pa.Table, meta: dict[str, str], prefix: str, before: ForgetSet | None = None) -> ForgetSet:
    classes = tuple(int(c) for c in meta[f"{prefix}classes"].split(",") if c)
    kind: RequestKind = "class" if meta[f"{prefix}kind"] == "class" else "sample"
    rows, ids = table["row"].to_numpy(), table["sample_id"].to_numpy()
    return ForgetSet(kind, classes, rows, ids, meta["data"], before=before)
