"""``cu score``: how much the original memorised each training row.

Memorisation of a row (Feldman 2020, arXiv 1906.05271, definition 1, with confidences and one model per side): the
original's confidence in the row's label, minus the confidence of a model that was trained without the row. Two such
models are enough for all rows: each is trained without one random half, in the same way as an oracle. They see half of
the data, so they are less accurate, which raises all scores. Only the order of the rows is used.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from scipy.special import softmax

from cu_core.config import RunConfig
from cu_core.data.forget_split import RowSet
from cu_core.data.order import hash64
from cu_core.data.requests import ForgetSet, save_forget_set
from cu_core.errors import ConfigError
from cu_core.files import atomic_file, digest_of, for_owner
from cu_core.models.classifier import Classifier
from cu_core.run import load_model
from cu_core.salts import Salt
from cu_core.source import source_digest
from cu_core.storage import fetch, fetched
from cu_core.unlearn.evaluate import predict
from cu_core.workspace import Workspace
from pipelines.cluster.session import ray_session
from pipelines.run.plan import TrainJob, absolute
from pipelines.run.task_options import device_of, ray_task, task_options
from pipelines.run.training import train_side_by_side

HALVES = (0, 1)
SCORES = pa.schema(
    {
        "sample_id": pa.int64(),
        "memorisation": pa.float64(),
        "confidence_original": pa.float64(),
        "confidence_without": pa.float64(),
    }
)
SCORED_AT_ONCE = 2**14
"""Rows that are scored before they are written."""


@dataclass(frozen=True)
class Scoring:
    """The models that score the rows of one data set and one original."""

    workspace: Workspace
    original: TrainJob
    halves: tuple[TrainJob, ...]
    """``halves[i]`` is trained without ``left_out[i]``."""
    left_out: tuple[ForgetSet, ...]

    @property
    def config(self) -> RunConfig:
        return self.workspace.config

    @property
    def file(self) -> Path:
        models = [job.folder.name for job in (self.original, *self.halves)]
        return self.config.store / "scores" / f"{digest_of([models, source_digest('figures', __name__)])}.parquet"

    @property
    def missing(self) -> list[TrainJob]:
        return [] if fetched(self.file) else [j for j in (self.original, *self.halves) if not j.done]


def plan_scoring(config: RunConfig) -> Scoring:
    """Resolve the models. Only the request files of the two halves are written.

    Raises: ConfigError for pairs without classes.
    """
    config = absolute(config)
    workspace = Workspace(config)
    reader = workspace.reader
    if reader.manifest.num_classes < 2:
        raise ConfigError(f"cu score needs classes: it compares confidences in labels; {config.data.path} has none.")
    digest, models = reader.manifest.digest, config.store / "models"
    rows = np.arange(reader.num_rows("train"), dtype=np.int64)
    ids = reader.sample_ids("train", rows)
    side = hash64(ids, config.seed, Salt.SCORE_HALF) % np.uint64(2)
    left_out = tuple(ForgetSet("sample", (), rows[side == h], ids[side == h], digest) for h in HALVES)
    jobs = tuple(
        TrainJob(
            f"train without half {h}",
            models / config.oracle_key(digest, left_out[h].digest, 0),
            save_forget_set(config.store / "requests", left_out[h]),
        )
        for h in HALVES
    )
    original = TrainJob("train original", models / config.original_key(digest), None)
    return Scoring(workspace, original, jobs, left_out)


def write_scores(scoring: Scoring) -> Path:
    """Write ``scoring.file`` with a row per training row: sample_id, memorisation and both confidences (0..1).

    It is written as it is computed, so that memory does not grow with the rows.
    """
    reader = scoring.workspace.reader
    device = device_of(scoring.config)

    def load(job: TrainJob) -> Classifier:
        return load_model(scoring.config, reader, job.folder).to(device)

    def confidence(model: Classifier, rows: RowSet) -> np.ndarray:
        found = predict(model, reader, rows)
        chances: np.ndarray = softmax(found.logits.astype(np.float64), axis=1)
        return chances[np.arange(len(found)), found.labels]

    original = load(scoring.original)
    with atomic_file(scoring.file) as partial, pq.ParquetWriter(for_owner(partial), SCORES) as writer:
        for job, half in zip(scoring.halves, scoring.left_out, strict=True):
            without = load(job)
            for first in range(0, len(half.rows), SCORED_AT_ONCE):
                some = slice(first, first + SCORED_AT_ONCE)
                rows = RowSet("train", half.rows[some])
                inside, outside = confidence(original, rows), confidence(without, rows)
                writer.write_table(pa.table([half.sample_ids[some], inside - outside, inside, outside], schema=SCORES))
    return scoring.file


@ray_task
def _score_task(scoring: Scoring) -> None:
    write_scores(scoring)


def make_scores(scorings: list[Scoring]) -> None:
    """Train the missing models and write the missing files, side by side as Ray tasks."""
    todo = list({s.file: s for s in scorings if not fetched(s.file)}.values())
    if not todo:
        return
    with ray_session(todo[0].config):
        missing = {job.folder: (s.workspace, job) for s in todo for job in s.missing}
        if missing:
            train_side_by_side(list(missing.values()))
        ray.get([_score_task.options(**task_options(s.config)).remote(s) for s in todo])


def score_rows(config: RunConfig, out: Path) -> None:
    """Run `cu score`: write the scores of one configuration to ``out``.

    Raises: ConfigError if the file exists.
    """
    if out.exists() or fetched(out):
        raise ConfigError(f"--out: {out} exists; name a new file.")
    scoring = plan_scoring(config)
    make_scores([scoring])
    fetch(scoring.file)  # another machine may have written it
    with atomic_file(out) as partial:
        shutil.copyfile(scoring.file, for_owner(partial))
