"""``cu data``: pack, inspect, verify; its other commands are in ``duplicates``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cu_core.errors import ConfigError, DataError
from cu_core.storage import place
from pipelines.cli import duplicates
from pipelines.cli.arguments import Packed
from pipelines.console import bars, console, counted

app = typer.Typer(no_args_is_help=True)
SOURCES_HELP = (
    "digits | fashion-mnist:DIR | torchvision:CIFAR10|CIFAR100|SVHN|FashionMNIST:DIR | folder:DIR | "
    "parquet:DIR | hf:NAME|DIR | csv:FILE | arrow:DIR | webdataset:DIR | coco:CAPTIONS.json:IMAGES | "
    "emoji:NODE_MODULES | stamps:DIR"
)


def _columns(pairs: list[str]) -> dict[str, str]:
    roles = [pair.partition("=")[0] for pair in pairs]
    if len(set(roles)) < len(roles):
        raise ConfigError(f"--column gives a role twice: {', '.join(pairs)}.")
    for pair in pairs:
        if pair.partition("=")[0] not in ("sample_id", "image", "label", "caption") or not pair.partition("=")[2]:
            raise ConfigError(f"--column {pair!r} must be sample_id=NAME, image=NAME, label=NAME or caption=NAME.")
    return dict(pair.split("=", 1) for pair in pairs)


def _print_notes(notes: Mapping[str, int], said: dict[str, int]) -> None:
    """Print the notes that were not printed yet."""
    for note, count in notes.items():
        if said.get(note) != count:
            console.print(f"{note}: {count}", markup=False, highlight=False, soft_wrap=True)
    said.update(notes)


@app.command("pack")
def pack_command(
    source: Annotated[str, typer.Argument(help=SOURCES_HELP)],
    out: Annotated[
        Path, typer.Argument(parser=place, metavar="OUT", help="New folder or address (s3://...) for the shards.")
    ],
    val_frac: Annotated[float, typer.Option(help="Share of training rows set aside as val.")] = 0.1,
    test_frac: Annotated[float, typer.Option(help="The same for test, where the source has none.")] = 0.2,
    train_rows: Annotated[int | None, typer.Option(help="Keep this many training rows.")] = None,
    test_where: Annotated[
        str | None,
        typer.Option(
            help="Test split: training rows for which this holds, e.g. \"style == 'openmoji'\"; see by_predicate."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which rows go where.")] = 0,
    column: Annotated[
        list[str] | None, typer.Option(help="Tables: image=NAME, label=NAME, sample_id=NAME, caption=NAME.")
    ] = None,
    caption: Annotated[
        list[str] | None,
        typer.Option(help="Captions from labels: 'a photo of a {class}.', {id}: the sample_id; several: drawn by row."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="emoji, stamps: language of the captions; further ones become columns. Absent: en."),
    ] = None,
    shard_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of a shard, of which a job fetches whole ones; absent: 8192.")
    ] = None,
    image_root: Annotated[
        str | None, typer.Option(help="Folder that paths of images are relative to; absent: that of their table.")
    ] = None,
    max_file_mb: Annotated[
        int, typer.Option(min=1, max=16_384, help="Largest image, tar member, CSV or JSON file in MiB that is read.")
    ] = 512,
    skip_empty_captions: Annotated[
        bool, typer.Option("--skip-empty-captions", help="Leave out rows without a caption; else they are refused.")
    ] = False,
    download: Annotated[bool, typer.Option("--download", help="torchvision: fetch the data set.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Decode every image before anything is written.")
    ] = True,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out, and count, files that cannot be read; else: refused.")
    ] = False,
    max_pixels: Annotated[
        int, typer.Option(min=1, max=178_956_970, help="Largest number of pixels of an image.")
    ] = 50_000_000,
    decode: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Store images as tensors of this side, resized and cropped as for training."
        ),
    ] = None,
) -> None:
    """Write a source as Arrow shards; `arrow:` registers shards where they lie. Interrupted, it leaves nothing."""
    if not (0 <= val_frac < 1 and 0 <= test_frac < 1 and val_frac + test_frac < 1):
        raise ConfigError(
            f"--val-frac and --test-frac must be at least 0 and leave room, got {val_frac} and {test_frac}."
        )
    from cu_core.data.convert import SplitPlan, pack
    from cu_core.data.schema import SPLITS
    from cu_core.data.sources import SourceOptions

    options = SourceOptions(
        download=download,
        columns=_columns(column or []),
        captions=tuple(caption or ()),
        shard_rows=shard_rows,
        check=check,
        skip_bad=skip_bad,
        max_pixels=max_pixels,
        decode_size=decode,
        image_root=image_root,
        max_file_mb=max_file_mb,
        skip_empty_captions=skip_empty_captions,
        languages=tuple(language or ()),
        test_where=test_where,
    )
    said: dict[str, int] = {}
    with bars() as drawn:
        manifest = pack(
            source,
            out,
            SplitPlan(val_frac, test_frac, train_rows, seed),
            options,
            lambda done, total: drawn.update("pack", done, total),
            check_progress=lambda done, total: drawn.update("check", done, total),
            say=lambda notes: _print_notes(notes, said),
        )
    _print_notes(manifest.notes, said)
    rows = ", ".join(f"{s} {manifest.num_rows(s)}" for s in SPLITS)
    console.print(f"{out}: {rows} rows in {counted(len(manifest.shards), 'shard')}, digest {manifest.digest}")


@app.command()
def inspect(folder: Packed) -> None:
    """Show splits, classes, columns and checksums' digest."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from cu_core.data.schema import SPLITS, read_manifest
    from cu_core.data.shard_reader import ShardReader

    manifest = read_manifest(folder)
    reader = ShardReader(folder)
    shape = f" {manifest.image_shape}" if manifest.image_shape else ""
    console.print(
        f"{manifest.name} from {manifest.source or 'unknown'}, digest {manifest.digest}\n"
        f"images: {manifest.image_kind}{shape}; further columns: "
        f"{', '.join(manifest.extra_columns) or 'none'}",
        markup=False,
    )
    _print_notes(manifest.notes, {})
    for step in manifest.dropped:
        rows = ", ".join(f"{split} {count}" for split, count in step.rows.items())
        why = f" for {', '.join(step.requests)}" if step.requests else ""
        console.print(f"dropped rows: {rows}{why}; digest before: {step.parent}", markup=False, highlight=False)
    table = Table("class", *SPLITS)
    counts = {s: np.zeros(manifest.num_classes, np.int64) for s in SPLITS}
    for split in SPLITS:
        for _, labels in reader.scan(split, "label"):
            counts[split] += np.bincount(labels, minlength=manifest.num_classes)
    for number, name in enumerate(manifest.class_names):
        table.add_row(Text(f"{number} {name}"), *(str(counts[s][number]) for s in SPLITS))
    table.add_section()
    table.add_row("rows", *(str(manifest.num_rows(s)) for s in SPLITS))
    table.add_row("bytes", *(str(sum(x.bytes for x in manifest.split_shards(s))) for s in SPLITS))
    console.print(table)


@app.command("verify")
def verify_command(
    folder: Packed,
) -> None:
    """Check checksums, ids, labels and images; every problem names shard and row. Exit status 2 if there is one."""
    from cu_core.data.verify import verify

    with bars() as drawn:
        problems = verify(folder, lambda done, total: drawn.update("verify", done, total))
    if problems:
        for line in problems[:50]:
            print(line)
        raise DataError(f"{folder}: {counted(len(problems), 'problem')} found.")
    console.print(f"{folder}: sound.")


for command in (duplicates.duplicates, duplicates.drop):
    app.command()(command)
