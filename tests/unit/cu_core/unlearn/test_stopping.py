from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cu_core.data.forget_split import ForgetSplit, RowLimits, RowSet
from cu_core.data.requests import ByClass, load_forget_set, resolve_request, save_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.metrics.accuracy import wilson_interval
from cu_core.types import Outputs, RequestKind
from cu_core.unlearn.stopping import StopCheck, StopConfig, Stopper
from tests.unit.cu_core.planted import Lookup, PlantedReader, planted_split, table


def stopper(
    reader: ShardReader,
    request: Path,
    config: StopConfig,
    looks: list[tuple[float, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> Stopper:
    """A stopper that sees the given (forget, utility) accuracies one after the other, the first at step 0."""
    split = ForgetSplit(reader, load_forget_set(request, reader.manifest.digest), seed=0, limits=RowLimits(50, 50))
    made = Stopper(config, split)
    answers = iter(looks)

    def look(model: torch.nn.Module, step: int) -> StopCheck:
        forget, utility = next(answers)
        target = 0.1 if made.kind == "class" else utility
        return StopCheck(step, forget, forget, forget, target, utility, forget <= target)

    monkeypatch.setattr(made, "look", look)
    return made


def run(made: Stopper, looks: int) -> list[int]:
    """Judge every 8 steps a model whose weight is the step; returns the steps at which the run would go on."""
    model = torch.nn.Linear(1, 1)
    going = []
    for step in range(0, 8 * looks, 8):
        torch.nn.init.constant_(model.weight, step)
        made.judge(model, step)
        if made.finished(step):
            break
        going.append(step)
    return going


def test_class_further_steps_after_the_rule_and_the_last_good_state_is_kept(
    reader: ShardReader, class_request: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [(0.9, 0.95), (0.4, 0.94), (0.05, 0.94), (0.0, 0.93), (0.0, 0.80), (0.0, 0.93)]
    made = stopper(
        reader, class_request, StopConfig(further_steps=16, utility_points=5, patience=1), looks, monkeypatch
    )
    assert run(made, 6) == [0, 8, 16, 24]  # fired at 16, ends at 32
    assert (made.state.fired_at, made.state.kept_step) == (16, 24)  # at 32 the utility guard does not hold
    assert made.state.kept_holds
    assert made.kept is not None
    assert float(made.kept["weight"]) == 24


def test_samples_need_patience_and_keep_the_nearest_state(
    reader: ShardReader, sample_request: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [(1.0, 0.9), (0.89, 0.9), (0.95, 0.9), (0.88, 0.9), (0.89, 0.9), (0.80, 0.9)]
    made = stopper(reader, sample_request, StopConfig(further_steps=8, patience=2), looks, monkeypatch)
    run(made, 6)
    assert made.state.fired_at == 32  # one crossing at 8 did not decide
    assert made.state.kept_step == 32  # 0.89 is nearer to 0.90 than 0.80


def test_a_model_that_met_the_rule_by_falling_apart_neither_ends_the_run_nor_is_kept(
    reader: ShardReader, class_request: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [(0.9, 0.95), (0.0, 0.2), (0.0, 0.94)]
    made = stopper(reader, class_request, StopConfig(further_steps=0, patience=1), looks, monkeypatch)
    run(made, 2)
    assert made.state.fired_at is None
    assert made.kept is None
    made = stopper(reader, class_request, StopConfig(further_steps=0, patience=1), looks, monkeypatch)
    assert run(made, 3) == [0, 8]  # it went on, and found back at 16
    assert (made.state.fired_at, made.state.kept_step, made.state.kept_holds) == (16, 16, True)


def test_without_a_state_that_satisfies_both_the_useful_one_nearest_to_the_target_is_kept(
    reader: ShardReader, sample_request: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [(1.0, 0.9), (0.99, 0.89), (0.93, 0.88), (0.60, 0.80)]
    made = stopper(reader, sample_request, StopConfig(further_steps=0, patience=1), looks, monkeypatch)
    run(made, 4)
    assert (made.state.fired_at, made.state.kept_step, made.state.kept_holds) == (None, 16, False)


def test_state_survives_a_checkpoint(reader: ShardReader, class_request: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stopper(reader, class_request, StopConfig(patience=1), [(0.9, 0.95), (0.0, 0.95)], monkeypatch)
    run(made, 2)
    again = Stopper(made.config, made.split)
    again.load_state_dict(made.state_dict(), made.kept)
    assert again.state == made.state


class Knows(torch.nn.Module):
    """Right on the first ``right[c]`` rows of each class ``c`` that it is shown, in their order."""

    def __init__(self, right: dict[int, int], reader: ShardReader, rows: RowSet):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        labels = reader.labels(rows.split, rows.rows)
        order = {c: np.flatnonzero(labels == c) for c in np.unique(labels)}
        good = np.concatenate([order[c][: right.get(int(c), len(order[c]))] for c in order])
        images = reader.images(rows.split, rows.rows).flatten(1)
        self.answers = {images[i].numpy().tobytes(): int(labels[i]) if i in good else -1 for i in range(len(labels))}

    def forward(self, images: torch.Tensor) -> Outputs:
        found = [self.answers[i.numpy().tobytes()] for i in images.flatten(1)]
        logits = torch.zeros(len(images), 11)
        logits[torch.arange(len(images)), found] = 1.0
        return Outputs(logits, logits, logits)


@pytest.mark.parametrize(
    ("right", "holds", "worst"),
    [
        ({3: 0, 8: 0}, True, 0.0),  # few rows: none may be right
        ({3: 0, 8: 1}, False, 1.0),  # 1 of some 18 rows is less than 1/10, and may well be a fifth
        ({3: 0, 8: 2}, False, 2.0),  # 2 of some 18 rows are more than 1/10 allows for
        ({3: 2, 8: 0}, False, 2.0),  # whichever class it is: the mean of both would pass
    ],
)
def test_each_forgotten_class_is_judged_by_itself_with_its_interval(
    reader: ShardReader, tmp_path: Path, right: dict[int, int], holds: bool, worst: float
) -> None:
    request = save_forget_set(tmp_path, resolve_request(ByClass(classes=(3, 8)), reader))
    split = ForgetSplit(reader, load_forget_set(request, reader.manifest.digest), seed=0, limits=RowLimits(99, 50))
    made = Stopper(StopConfig(), split)
    everything = RowSet("val", np.sort(np.concatenate([split.stop_forget.rows, split.stop_retain.rows])))
    check = made.look(Knows(right, reader, everything), 8)  # type: ignore[arg-type]
    labels = reader.labels("val", split.stop_forget.rows)
    count = max((labels == c).sum() for c in right if right[c] == worst) if worst else 1
    assert check.holds is holds
    assert check.target == 0.1
    assert check.utility == 1.0
    assert check.forget == pytest.approx(max(right[c] / (labels == c).sum() for c in right))
    assert (check.forget_low, check.forget_high) == pytest.approx(
        wilson_interval(int(worst), int(count)) if worst else (0.0, check.forget_high)
    )
    assert made.state.rows == len(everything)


def test_the_highest_accuracy_is_told_not_the_most_right_answers(
    reader: ShardReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = save_forget_set(tmp_path, resolve_request(ByClass(classes=(3, 8)), reader))
    forget = load_forget_set(request, reader.manifest.digest)
    made = Stopper(StopConfig(), ForgetSplit(reader, forget, seed=0, limits=RowLimits(99, 50)))
    counts = iter([(90, 100), (3, 4), (5, 50)])  # unseen retain rows, then each class
    monkeypatch.setattr(made, "_score", lambda model, rows: next(counts))
    check = made.look(torch.nn.Module(), 8)  # type: ignore[arg-type]
    assert (check.forget, check.utility) == (0.75, 0.9)
    assert (check.forget_low, check.forget_high) == wilson_interval(3, 4)


def test_many_rows_may_hold_a_few_right_answers() -> None:
    """45 of 600 are 7.5% with an upper end of 9.9%; 46 reach 10.06%."""
    assert wilson_interval(45, 600)[1] <= 0.1 < wilson_interval(46, 600)[1]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        StopConfig(check_every=0)


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_the_stop_set_decides_and_no_reported_row(kind: RequestKind) -> None:
    """A table of answers that is wrong everywhere but on the rows that decide: of unseen rows of the class, or of the
    deciding half of the samples, a quarter is right, of unseen retain rows of the stop set a half. And the reverse:
    right everywhere but there."""
    reader = PlantedReader(train=[0] * 40 + [1] * 40, val=[0, 1] * 40, test=[0, 1] * 20)
    split = planted_split(reader, kind, list(range(40)), stop_rows=12)
    forget_rows = split.stop_forget if kind == "class" else split.forget_stop
    parts = {0.25: forget_rows, 0.5: split.stop_retain}
    for deciding_right in (True, False):
        ids = {s: reader.sample_ids(s, slice(None)) for s in ("train", "val", "test")}
        truth = {int(i): int(c) for s in ids for i, c in zip(ids[s], reader.labels(s, slice(None)), strict=True)}
        given = {i: 1 - c if deciding_right else c for i, c in truth.items()}
        counts = {}
        for share, rows in parts.items():
            numbers = reader.sample_ids(rows.split, rows.rows).tolist()
            counts[share] = (int(share * len(numbers)), len(numbers))
            for place, number in enumerate(numbers):
                given[number] = truth[number] if place < counts[share][0] else 1 - truth[number]
        check = Stopper(StopConfig(), split).look(Lookup(table(reader.total, given, 2)), 7)  # type: ignore[arg-type]
        hits, count = counts[0.25]
        utility = counts[0.5][0] / counts[0.5][1]
        assert check.step == 7
        assert (check.forget, check.utility) == (
            pytest.approx(hits / count, abs=1e-12),
            pytest.approx(utility, abs=1e-12),
        )
        assert check.target == (0.5 if kind == "class" else check.utility)


def test_stop_rows_are_disjoint_from_reported_ones_for_every_seed() -> None:
    reader = PlantedReader(train=[0] * 40 + [1] * 40, val=[0, 1] * 40, test=[0, 1] * 20)
    for kind in ("class", "sample"):
        for seed in range(3):
            split = planted_split(reader, kind, list(range(40)), seed=seed)  # type: ignore[arg-type]
            decide = {
                (r.split, int(x)) for r in (split.stop_forget, split.stop_retain, split.forget_stop) for x in r.rows
            }
            names = ("forget_reported", "forget_test", "retain_test", "holdout", "retain_train")
            reported = {(r.split, int(x)) for r in (getattr(split, n) for n in names) for x in r.rows}
            assert not decide & reported
            if kind == "sample":
                assert np.array_equal(np.sort(np.r_[split.forget_stop.rows, split.forget_reported.rows]), np.arange(40))
