from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.data.shard_reader import ShardReader
from cu_core.errors import UserError
from pipelines.bench import planted_copies
from pipelines.bench.planted_copies import CHANGES, plant, run_planted
from tests.copies import drawings, pack_files


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return pack_files(
        tmp_path / "data", {"train": drawings(20), "val": drawings(2, 20), "test": drawings(2, 22)}
    ).folder


def test_each_chosen_row_gets_a_copy_of_each_kind_in_train(data: Path, tmp_path: Path) -> None:
    ids = plant(ShardReader(data), tmp_path / "planted", 3, 0)
    planted = ShardReader(tmp_path / "planted")
    assert [planted.num_rows(split) for split in ("train", "val", "test")] == [20 + 3 * len(CHANGES), 2, 2]
    rows = np.arange(planted.num_rows("train"))
    of, change = planted.column("copy_of", rows).to_pylist(), planted.column("change", rows).to_pylist()
    assert sorted((o, c) for o, c in zip(of, change, strict=True) if o is not None) == sorted(
        (int(i), c) for i in ids for c in CHANGES
    )
    own = planted.sample_ids("train", rows)[np.array(change) == "original"]
    assert sorted(own.tolist()) == sorted(ids.tolist())
    labels = dict(zip(planted.sample_ids("train", rows).tolist(), planted.labels("train", rows).tolist(), strict=True))
    copies = zip(planted.sample_ids("train", rows).tolist(), of, strict=True)
    assert all(labels[i] == labels[o] for i, o in copies if o is not None)


def test_the_table_tells_which_copies_were_found(data: Path, tmp_path: Path) -> None:
    run_planted(data, tmp_path / "planted", 2, None, [1e-6], tmp_path / "table.md")
    lines = [line.strip("| ").split(" | ") for line in (tmp_path / "table.md").read_text().splitlines() if "|" in line]
    table = {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}
    assert table["exact"]["same pixels"] == "100.0%"
    assert table["exact"]["mirrored"] == "0.0%"
    assert {table["near"][kind] for kind in ("same pixels", "resized", "JPEG", "mirrored", "brightened")} == {"100.0%"}
    assert table["near"]["false"] == table["exact"]["false"] == "0"


def test_data_without_planted_copies_are_refused(data: Path) -> None:
    with pytest.raises(UserError, match="has no column change; name a new folder"):
        run_planted(data, data, 2, None, [1e-6], None)


@pytest.mark.parametrize(("count", "rate", "message"), [
    (21, 1e-6, "count must be at most 20, the number of training rows, got 21"),
    (2, float("nan"), "rate must lie above 0 and be at most 0.01, got nan"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(data: Path, tmp_path: Path, count: int, rate: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_planted(data, tmp_path / "planted", count, None, [1e-6, rate], None)
    assert not (tmp_path / "planted").exists()


def test_a_row_that_is_no_copy_counts_as_false(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(ShardReader(data), tmp_path / "planted", 1, 0)
    reader = ShardReader(tmp_path / "planted")
    signed = planted_copies.sign_rows(reader, tmp_path, splits=("train",))
    of = reader.column("copy_of", np.arange(len(signed))).to_pylist()
    other = next(row for row in range(len(signed)) if of[row] is None and signed.rows["sample_id"][row] not in of)
    signed.rows["pixels"][other] = signed.rows["pixels"][of.index(next(o for o in of if o is not None))]
    exact = next(planted_copies._lines(reader, signed, [1e-6]))
    assert exact[-1] == "1"
