from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from cu_core import workspace
from cu_core.config_io import as_plain, config_from
from cu_core.data.forget_split import RowSet
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from cu_core.yaml_io import overridden
from pipelines.audits import memorisation
from pipelines.audits.memorisation import Scoring, make_scores, plan_scoring, score_rows, write_scores
from tests.conftest import small


@pytest.fixture
def scoring(digits: Path, tmp_path: Path) -> Scoring:
    return plan_scoring(small(digits, tmp_path / "out"))


def test_scores_are_found_by_what_they_depend_on(digits: Path, tmp_path: Path) -> None:
    config = small(digits, tmp_path)

    def scores(*overrides: str) -> Path:
        return plan_scoring(config_from(overridden(as_plain(config), overrides))).file

    assert scores("method.lambda_ce=3") == scores()
    assert scores("seed=1") != scores() != scores("train.epochs=2")


def test_each_half_is_left_out_by_one_model(scoring: Scoring, reader: ShardReader) -> None:
    one, other = (forget.rows.tolist() for forget in scoring.left_out)
    total = reader.num_rows("train")
    assert sorted([*one, *other]) == list(range(total))
    assert abs(len(one) - total / 2) < 4 * (total / 4) ** 0.5  # four standard deviations of a fair coin
    for forget, job in zip(scoring.left_out, scoring.halves, strict=True):
        assert forget.sample_ids.tolist() == reader.sample_ids("train", forget.rows).tolist()
        assert job.forget_file is not None
        assert job.forget_file.exists()
    jobs = (scoring.original, *scoring.halves)
    assert len({job.folder for job in jobs}) == len({job.label for job in jobs}) == 3
    assert scoring.original.forget_file is None
    assert scoring.missing == list(jobs)


def test_a_score_is_the_originals_confidence_minus_that_of_the_model_without_the_row(
    scoring: Scoring, reader: ShardReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odds on the label: 3 to 1 of the original; 1 to 1 and 1 to 3 of the models without a half."""
    odds = {scoring.original.folder: 3.0, scoring.halves[0].folder: 1.0, scoring.halves[1].folder: 1 / 3}

    def load(config: Any, reader: Any, folder: Path) -> SimpleNamespace:
        return SimpleNamespace(to=lambda device: folder)

    class Predictions(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.labels)

    def predict(folder: Any, reader: ShardReader, rows: RowSet) -> Predictions:
        labels = reader.labels(rows.split, rows.rows)
        logits = np.full((len(labels), 2), 0.0)
        logits[np.arange(len(labels)), labels % 2] = np.log(odds[folder])
        return Predictions(logits=logits, labels=labels % 2)

    monkeypatch.setattr(memorisation, "load_model", load)
    monkeypatch.setattr(memorisation, "predict", predict)
    monkeypatch.setattr(memorisation, "SCORED_AT_ONCE", 100)
    file = write_scores(scoring)
    assert pq.ParquetFile(file).num_row_groups == sum(-(-len(half.rows) // 100) for half in scoring.left_out)
    found = pq.read_table(file).to_pydict()
    assert sorted(found) == ["confidence_original", "confidence_without", "memorisation", "sample_id"]
    assert sorted(found["sample_id"]) == sorted(reader.sample_ids("train", np.arange(reader.num_rows("train"))))
    expected = {i: 0.75 - c for c, half in zip((0.5, 0.25), scoring.left_out, strict=True) for i in half.sample_ids}
    assert found["memorisation"] == pytest.approx([expected[i] for i in found["sample_id"]])
    assert found["confidence_original"] == pytest.approx([0.75] * len(expected))
    assert scoring.missing == []  # with the scores no model is needed


def test_scores_that_are_there_are_copied_and_nothing_is_trained(
    scoring: Scoring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring.file.parent.mkdir(parents=True)
    scoring.file.write_bytes(b"scores")
    monkeypatch.setattr(memorisation, "ray_session", None)
    make_scores([])
    make_scores([scoring, scoring])
    score_rows(scoring.config, tmp_path / "new" / "s.parquet")
    assert (tmp_path / "new" / "s.parquet").read_bytes() == b"scores"
    with pytest.raises(ConfigError, match=r"--out: .*s\.parquet exists; name a new file"):
        score_rows(scoring.config, tmp_path / "new" / "s.parquet")


def test_pairs_without_classes_are_refused(
    scoring: Scoring, reader: ShardReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SimpleNamespace(manifest=replace(reader.manifest, class_names=("",)))
    monkeypatch.setattr(workspace, "ShardReader", lambda *where, half: one)
    with pytest.raises(ConfigError, match="cu score needs classes: .* has none"):
        plan_scoring(scoring.config)
