"""Fuzzes manifests, Arrow shards and the files that tables are packed from.

Every input is a valid one with a few changes that a seed decides: bytes that are flipped, cut out or repeated, and
values of JSON that are replaced by edge values. It must be read, or refused by a UserError; anything else is a fault,
and the message says how to repeat it.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cu_core.data.convert import SplitPlan, pack
from cu_core.data.requests import ByClass, resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions
from cu_core.data.verify import verify
from cu_core.errors import UserError
from cu_core.files import sha256_of
from tests.hostile.table_inputs import arrow_file, image_files, json_file, packed, parquet_file, pngs, tar_file

COUNT = 8
EDGES: Sequence[Any] = (
    None, True, 0, -1, 1.5, 2**31, 2**62, 2**63, 2**64, 10**15, -(2**63), 10**400, float("nan"), float("inf"), "", "x",
    "..", "../x", "/etc/passwd", "a\0b", "\ud800", "[/x]", [], {}, [[]], [0], {"a": 1}, "é" * 300,
)  # fmt: skip


def mutated_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Return bytes with one to four places changed."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del data[at : at + rng.randint(1, 64)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randint(1, 64)]
        elif kind == 4 and len(data) > at + 8:
            data[at : at + 8] = rng.choice((0, 2**31 - 1, 2**63 - 1, 2**64 - 1, 10**15)).to_bytes(8, "little")
        else:
            del data[at:]
    return bytes(data)


def mutated_json(rng: random.Random, content: Any) -> Any:
    """Return JSON with one to three values replaced, removed or repeated."""
    content = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        place = content
        while True:
            keys: Sequence[Any] = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = rng.choice(keys)
            inner = place[key]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
                place = inner
                continue
            kind = rng.randrange(4)
            if kind == 0:
                del place[key]
            elif kind == 1 and isinstance(place, list):
                place.append(copy.deepcopy(inner))
            else:
                place[key] = rng.choice(EDGES)
            break
    return content


def json_bytes(content: Any) -> bytes:
    return json.dumps(content).encode()


def manifest(rng: random.Random, seeds: Path, work: Path) -> None:
    """A changed manifest beside good shards."""
    folder = Path(shutil.copytree(seeds / "set", work / "set"))
    content = json.loads((folder / "manifest.json").read_text())
    raw = json_bytes(mutated_json(rng, content)) if rng.random() < 0.7 else mutated_bytes(rng, json_bytes(content))
    (folder / "manifest.json").write_bytes(raw)
    use(folder)


def shard(rng: random.Random, seeds: Path, work: Path) -> None:
    """A changed shard, with a manifest that agrees with its bytes."""
    folder = Path(shutil.copytree(seeds / rng.choice(("set", "encoded")), work / "set"))
    content = json.loads((folder / "manifest.json").read_text())
    entry = rng.choice(content["shards"])
    path = folder / entry["path"]
    path.write_bytes(mutated_bytes(rng, path.read_bytes()))
    entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (folder / "manifest.json").write_bytes(json_bytes(content))
    use(folder)


def use(folder: Path) -> None:
    """Do what the commands do with a data set."""
    verify(folder, lambda done, total: None)
    reader = ShardReader(folder, image_size=4)
    forget = resolve_request(ByClass(classes=(0,)), reader)
    reader.images("train", forget.rows[:2])
    for split in ("train", "val", "test"):
        for _, labels in reader.scan(split, "label"):  # type: ignore[arg-type]
            np.bincount(labels, minlength=reader.manifest.num_classes)


def packs(name: str, suffix: str, spec: str) -> Callable[[random.Random, Path, Path], None]:
    """Return a check that packs a changed file."""

    def check(rng: random.Random, seeds: Path, work: Path) -> None:
        raw = (seeds / name).read_bytes()
        if suffix == ".json" and rng.random() < 0.7:
            raw = json_bytes(mutated_json(rng, json.loads(raw)))
        else:
            raw = mutated_bytes(rng, raw)
        (work / "in").mkdir()
        (work / "in" / f"train{suffix}").write_bytes(raw)
        source = spec.format(folder=work / "in", file=work / "in" / f"train{suffix}", images=seeds / "images")
        options = SourceOptions(max_file_mb=8, image_root=str(seeds / "images") if suffix == ".csv" else None)
        pack(source, work / "out", SplitPlan(0.25, 0.25), options, lambda done, total: None)
        use(work / "out")

    return check


CHECKS: dict[str, Callable[[random.Random, Path, Path], None]] = {
    "manifest": manifest,
    "shard": shard,
    "arrow": packs("a.arrow", ".arrow", "arrow:{folder}"),
    "parquet": packs("x.parquet", ".parquet", "parquet:{folder}"),
    "tar": packs("a.tar", ".tar", "webdataset:{folder}"),
    "tar.gz": packs("a.tar.gz", ".tar.gz", "webdataset:{folder}"),
    "coco": packs("coco.json", ".json", "coco:{file}:{images}"),
    "csv": packs("list.csv", ".csv", "csv:{file}"),
}


def write_seeds(folder: Path) -> None:
    """Write the valid inputs."""
    images = image_files(folder / "images", COUNT)
    labels = [number % 2 for number in range(COUNT)]
    parquet_file(folder / "x.parquet", {"image": pngs(COUNT), "label": labels, "user": list(range(COUNT))})
    arrow_file(folder / "a.arrow", {"sample_id": list(range(COUNT)), "image": pngs(COUNT), "label": labels}, rows=4)
    members = [(f"{n}.{k}", c) for n in range(COUNT) for k, c in
               (("png", pngs(1, n)[0]), ("txt", b"words"), ("json", b'{"w": 1, "url": "u"}'))]  # fmt: skip
    tar_file(folder / "a.tar", members)
    tar_file(folder / "a.tar.gz", members, "w:gz")
    coco = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(COUNT)],
        "annotations": [{"image_id": n, "caption": f"view {n}"} for n in range(COUNT)],
    }
    json_file(folder / "coco.json", coco)
    (folder / "list.csv").write_text("path,label,user\n" + "".join(f"{n}.png,{n % 2},u{n}\n" for n in range(COUNT)))
    assert images.is_dir()
    (folder / "in").mkdir()
    shutil.copy(folder / "x.parquet", folder / "in")
    packed(f"parquet:{folder / 'in'}", folder / "encoded")
    pack("digits", folder / "set", SplitPlan(0.2, train_rows=40), SourceOptions(shard_rows=16), lambda d, t: None)


def run(seconds: float, seed: int, only: str | None = None) -> int:
    """Try inputs until the time is over; ``only`` repeats one input, as a failure names it.

    Returns:
        The number of inputs.

    Raises:
        AssertionError: An input was neither read nor refused.
    """
    tried = 0
    with tempfile.TemporaryDirectory() as place:
        seeds = Path(place) / "seeds"
        seeds.mkdir()
        write_seeds(seeds)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            kind, number = list(CHECKS)[tried % len(CHECKS)], seed + tried
            if only is not None:
                kind, number = only, seed
            work = Path(place) / "work"
            work.mkdir()
            try:
                CHECKS[kind](random.Random(f"{kind} {number}"), seeds, work)
            except UserError:
                pass
            except Exception as error:
                repeat = f"PYTHONPATH=. python -m tests.hostile.fuzz_shards {number} {kind}"
                raise AssertionError(f"{kind} was neither read nor refused: {error!r}; to repeat: {repeat}") from error
            finally:
                shutil.rmtree(work, ignore_errors=True)
            tried += 1
            if only is not None:
                break
    return tried


if __name__ == "__main__":
    run(60.0, int(sys.argv[1]) if len(sys.argv) > 1 else 0, sys.argv[2] if len(sys.argv) > 2 else None)
