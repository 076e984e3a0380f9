"""``cu data duplicates`` and ``cu data drop``: rows that are copies of others, and rows that must go."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cu_core.errors import ConfigError
from cu_core.storage import fetched, named_file, place, shown
from pipelines.cli.arguments import Packed, out_option
from pipelines.console import bars, console, counted

if TYPE_CHECKING:
    import pyarrow as pa

    from cu_core.data.order import Rows
    from cu_core.data.row_selection import Selection
    from cu_core.data.schema import Manifest
    from cu_core.data.shard_reader import ShardReader

Column = Annotated[
    str | None, typer.Option("--column", help="Column of the ids, in the list and in the data; absent: the row's id.")
]


def duplicates(
    folder: Packed,
    of: Annotated[
        str | None,
        typer.Option(
            "--of",
            metavar="FILE|REQUEST",
            help="Copies of these training rows only: a configuration of a run, a list of ids, or a request (faces-3).",
        ),
    ] = None,
    column: Column = None,
    model: Annotated[
        Path | None,
        typer.Option(
            parser=place, metavar="FOLDER", help="Saved model, as `cu train` prints it; finds equal content too."
        ),
    ] = None,
    captions: Annotated[bool, typer.Option("--captions", help="Find equal and similar captions too.")] = False,
    rate: Annotated[
        float, typer.Option(help="Largest share of pairs of different rows that may be taken for copies.")
    ] = 1e-6,
    out: Annotated[Path, out_option("Table of the copies, .parquet or .csv; the page lies beside it.")] = Path(
        "duplicates.parquet"
    ),
    storage: Annotated[
        Path, typer.Option("--storage", parser=place, metavar="PATH", help="With --of REQUEST: the model's storage.")
    ] = Path("outputs"),
) -> None:
    """Find copies of rows: equal pixels, near copies (size, quality, brightness, mirrored), and by a model or captions.

    Writes a table and a contact sheet (.html), the most alike first. With --of, every row is compared with the rows
    that FILE names; without --of, with all other rows. Memory does not grow with the rows.
    """
    page = out.with_suffix(".html")
    if out.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"--out {out.name} must end in .parquet or .csv.")
    if existing := [str(path) for path in (out, page) if fetched(path)]:
        raise ConfigError(f"--out: {' and '.join(existing)} exists; name another file or delete it.")
    if column is not None and of is None:
        raise ConfigError("--column belongs to --of.")
    from cu_core.data.duplicate_table import find_duplicates
    from cu_core.data.likeness import KINDS
    from cu_core.data.shard_reader import ShardReader
    from pipelines.report.duplicates_page import write_page

    embed, reader = None, ShardReader(folder)
    rows = None if of is None else _rows_of(of, column, reader, storage)
    if model is not None:
        from pipelines.run.features import features_of

        embed, reader = features_of(model, folder)
    with bars() as drawn:
        found = find_duplicates(
            reader,
            of=rows,
            embed=embed,
            captions=captions,
            rate=rate,
            progress=lambda done, total: drawn.update("read", done, total),
        )
    _write(found.table, out)
    write_page(page, reader, found, f"{reader.manifest.name}{f', of {of}' if of else ''}", rate)
    counts = {kind: found.count(kind) for kind in KINDS}
    told = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count) or "none"
    lines = [
        f"copies: {told}; {found.num_pairs:,} pairs compared",
        *(f"{name}: likeness {limit.told}" for name, limit in found.limits.items()),
        *found.notes,
        f"table  {shown(out)}",
        f"page   {shown(page)}",
    ]
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def _rows_of(of: str, column: str | None, reader: ShardReader, storage: Path) -> Rows:
    """The training rows that a configuration, a list of ids or a request names."""
    from dataclasses import replace

    from cu_core.data.requests import ByIds, resolve_request

    if of.endswith((".yaml", ".yml")):
        from cu_core.config_io import load_config

        config = load_config(named_file(of))
        request = replace(config.request, duplicates="ignore")
        return resolve_request(request, reader, config.model.reads_captions).rows
    if not fetched(named_file(of)) and re.fullmatch(r"[\w.-]+-\d+", of):
        return _rows_of_request(of, reader, storage)
    return resolve_request(ByIds(path=of, column=column), reader).rows


def _rows_of_request(request: str, reader: ShardReader, storage: Path) -> Rows:
    from pipelines.requests.asked import forget_set_of
    from pipelines.requests.places import of_request
    from pipelines.requests.state import state_of

    places = of_request(storage, request)
    state = state_of(places.ledger.read())
    if state.data != reader.manifest.digest:
        path, digest = state.opened.fields["data"]["path"], reader.manifest.digest
        raise ConfigError(f"--of {request}: it is about {path}, digest {state.data}; the data here have {digest}.")
    return forget_set_of(places, state, request).rows


def _write(table: pa.Table, out: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    from cu_core.files import atomic_file, for_owner

    write = pyarrow.parquet.write_table if out.suffix == ".parquet" else pyarrow.csv.write_csv
    with atomic_file(out) as partial:
        write(table, str(for_owner(partial)))


def drop(
    folder: Packed,
    ids: Annotated[
        str | None,
        typer.Option(
            "--ids", metavar="FILE", help="List of ids: text, CSV, JSON lines, Parquet; also the forget.arrow of a run."
        ),
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="EXPR", help="Expression over the columns, as in by_predicate.")
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(
            "--request",
            metavar="ID",
            help="Training rows of a request of `cu requests` that is done, e.g. faces-3; its ledger records it. May "
            "be given several times.",
        ),
    ] = None,
    column: Column = None,
    out: Annotated[
        Path | None, typer.Option("--out", parser=place, metavar="NEW", help="New folder; absent: FOLDER is changed.")
    ] = None,
    storage: Annotated[
        Path | None,
        typer.Option(parser=place, metavar="PATH", help="With --request: storage of the model. Default: outputs."),
    ] = None,
) -> None:
    """Take rows out of a packed data set, in every split (--request: training rows). Shards without any of them stay.

    A command that is interrupted has changed all of the data or nothing.
    """
    if sum(given is not None for given in (ids, where, request or None)) != 1:
        raise ConfigError("give exactly one of --ids, --where and --request.")
    if column is not None and ids is None:
        raise ConfigError("--column belongs to --ids.")
    if storage is not None and not request:
        raise ConfigError("--storage belongs to --request.")
    from cu_core.data.drop import rewriting
    from cu_core.data.shard_reader import ShardReader

    with rewriting(folder) if out is None else contextlib.nullcontext(0) as num_left:
        if num_left:
            _say(f"deleted {counted(num_left, 'file')} that an interrupted run left")
        reader = ShardReader(folder)
        if request:
            _drop_requests(reader, request, out, storage or place("outputs"))
        else:
            _drop_named(reader, ids, where, column, out)


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _drop_named(reader: ShardReader, ids: str | None, where: str | None, column: str | None, out: Path | None) -> None:
    from cu_core.data.drop import drop_rows
    from cu_core.data.requests import ByIds
    from cu_core.data.row_selection import select_ids, select_where

    chosen = (
        select_where(reader, where) if where is not None else select_ids(reader, ByIds(path=str(ids), column=column))
    )
    for note in chosen.notes:
        _say(note)
    _say(_dropped(reader, chosen, drop_rows(reader, chosen, out), out))


def _drop_requests(reader: ShardReader, names: list[str], out: Path | None, storage: Path) -> None:
    from pipelines.requests.drop import drop_requests
    from pipelines.requests.places import known_model, model_of

    manifest, chosen, entry = drop_requests(known_model(storage, model_of(storage, names)), names, reader, out)
    if chosen is not None:
        _say(_dropped(reader, chosen, manifest, out))
    else:
        _say(f"{shown(reader.folder)}: a command that was killed had dropped the rows; digest {manifest.digest}")
    _say(
        f"recorded in entry {entry.number}; later requests go on with these data"
        if entry
        else f"{shown(reader.folder)} is as it was, and the ledger too: the model's requests go on with it"
    )


def _dropped(reader: ShardReader, chosen: Selection, manifest: Manifest, out: Path | None) -> str:
    rows = ", ".join(f"{split} {count}" for split, count in chosen.counts.items())
    dropped = f"dropped {counted(chosen.total, 'row')} ({rows}) of {counted(len(chosen.rows), 'shard')}"
    return f"{shown(out or reader.folder)}: {dropped}; digest {manifest.digest}, parent {manifest.dropped[-1].parent}"
