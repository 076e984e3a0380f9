"""``cu bench chain``: requests answered one after another, as one batch, and not at all, beside retrained models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from cu_core.audit.report import AuditReport
from cu_core.config import RunConfig
from cu_core.config_io import load_config
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from cu_core.files import digest_of, write_text
from cu_core.stored import read_stored
from pipelines.console import console
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import command_line, machine
from pipelines.requests.answer import answer
from pipelines.requests.intake import add_request
from pipelines.requests.opened import open_model
from pipelines.requests.places import Places
from pipelines.requests.policy import Policy
from pipelines.requests.state import state_of

REPORTS = TypeAdapter(AuditReport)
READ = ("forget_rows", "retain_rows", "frozen_rows", "prepare_rows", "stop_rows")
WAYS = ("gap", "test accuracy", "rows, % of retraining", "verdict")
HEADINGS = ("requests", "rows", "not unlearned: gap", *(f"{way}: {one}" for way in ("chain", "batch") for one in WAYS))
NOTE = (
    "gap: mean absolute difference to the oracles, in points. test accuracy: difference to the oracles, in points. The "
    "oracles of a line are retrained without all of its rows. rows: read for unlearning, everything counted; for the "
    "chain of all requests so far, beside retraining for each of them; for the batch beside retraining once."
)


def requests_of(config: RunConfig, count: int, rows: int, classes: Sequence[int]) -> list[dict[str, Any]]:
    """One request for each class, else ``count`` requests of ``rows`` random rows, drawn with the run's seed.

    Raises: ConfigError if there are too few rows.
    """
    if classes:
        return [{"kind": "by_class", "classes": [one]} for one in classes]
    reader = ShardReader(config.data.path)
    total = reader.num_rows("train")
    if count * rows >= total:
        raise ConfigError(f"{count} requests of {rows} rows are no part of the {total} training rows; ask for less.")
    drawn = np.random.default_rng(config.seed).permutation(total)[: count * rows].reshape(count, rows)
    made = []
    for part in drawn:
        ids = reader.sample_ids("train", np.sort(part)).tolist()
        file = config.store / "chain" / f"{digest_of(ids)}.txt"
        write_text(file, "".join(f"{one}\n" for one in ids))
        made.append({"kind": "by_id", "path": str(file)})
    return made


@dataclass(frozen=True)
class Answers:
    """A model's requests, answered in batches of given sizes."""

    file: Path
    overrides: Sequence[str]
    local: bool

    def reports(self, name: str, batches: Sequence[Sequence[dict[str, Any]]]) -> list[AuditReport]:
        """Answer the batches; what was answered before is read."""
        places = Places(load_config(self.file, self.overrides).store.absolute(), name)
        if not places.ledger.read():
            open_model(name, self.file, self.overrides, Policy())
        for number, batch in enumerate(batches):
            state = state_of(places.ledger.read())
            if len(state.versions) > number:
                continue
            entered = len(state.requests) - sum(map(len, batches[:number]))
            for request in batch[entered:]:
                add_request(places, request)
            console.print(f"{name}: batch {number + 1} of {len(batches)}", highlight=False)
            answer(places, (), self.local)
        versions = state_of(places.ledger.read()).versions
        files = [places.store / version.entry.fields["audit"]["file"] for version in versions]
        return [read_stored(file, REPORTS, "delete the storage") for file in files]


def run_chain(
    file: Path, overrides: Sequence[str], count: int, rows: int, classes: Sequence[int], local: bool, out: Path | None
) -> None:
    """Answer the requests in both ways, and print the table. A command that was interrupted goes on.

    Raises: ConfigError if there are fewer than two requests, no oracles, or too few rows.
    """
    check_out(out)
    config = load_config(file, overrides)
    if not config.audit.oracles:
        raise ConfigError("audit.oracles must be at least 1: each line is a comparison with retrained models, got 0.")
    asked = requests_of(config, count, rows, classes)
    if len(asked) < 2:
        raise ConfigError("a chain needs at least two requests; raise --requests, or give --class several times.")
    answers = Answers(file, overrides, local)
    name = f"chain-{digest_of([asked, config.of_the_result(), asdict(config.audit)])[:8]}"
    chain = answers.reports(name, [[request] for request in asked])
    batch = chain[:1]
    for number in range(2, len(asked) + 1):
        batch += answers.reports(f"{name}-batch-{number}", [asked[:number]])
    table = markdown_table(HEADINGS, _lines(chain, batch))
    page = f"```\n{command_line()}\n```\n\n{machine()}. {NOTE}\n\n{table}\n"
    print(page)
    if out is not None:
        write_text(out, page)


def _lines(chain: Sequence[AuditReport], batch: Sequence[AuditReport]) -> list[list[str]]:
    lines, read, retrained = [], 0.0, 0.0
    for number, (one, whole) in enumerate(zip(chain, batch, strict=True), 1):
        assert one.doing_nothing_gap is not None
        once = one.cost["retrain_rows"]
        read, retrained = read + _read(one), retrained + once
        cells = [str(number), str(one.sizes["forget_set"]), f"{one.doing_nothing_gap.mean:.2f}"]
        lines.append([*cells, *_way(one, read / retrained), *_way(whole, _read(whole) / once)])
    return lines


def _read(report: AuditReport) -> float:
    return sum(report.cost.get(name, 0.0) for name in READ)


def _way(report: AuditReport, share: float) -> list[str]:
    assert report.gap is not None
    test = report.gap.per_metric["test_accuracy"]
    return [f"{report.gap.mean:.2f}", f"{test:+.1f}", f"{100 * share:.1f}", report.verdict.word]
