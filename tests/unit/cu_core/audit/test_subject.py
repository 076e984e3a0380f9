from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cu_core.audit import subject
from cu_core.audit.subject import AuditConfig, Subject, predict_part
from cu_core.types import RequestKind
from tests.unit.cu_core.planted import Lookup, PlantedReader, planted_split

PLACES = {
    "forget_all": "forget_measured",
    "forget_train": "forget_reported",
    "forget_test": "forget_test",
    "retain_train": "retain_train",
    "retain_test": "retain_test",
    "holdout": "holdout",
}


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_each_set_is_answered_on_its_own_rows_once(kind: RequestKind) -> None:
    """The model's logits are (sample_id, 0); ids of train, val and test rows are different numbers."""
    reader = PlantedReader(train=[0] * 30 + [1] * 30, val=[0, 1] * 20, test=[0, 1] * 10)
    split = planted_split(reader, kind, list(range(30)))
    model = Lookup(np.stack([np.arange(reader.total), np.zeros(reader.total)], 1))
    made = Subject(model, split, AuditConfig(), 0)  # type: ignore[arg-type]
    for name, place in PLACES.items():
        rows = getattr(split, place)
        found = getattr(made, name)
        ids = reader.sample_ids(rows.split, rows.rows)
        assert found.logits[:, 0].tolist() == found.sample_ids.tolist() == ids.tolist()
        assert found.labels.tolist() == reader.labels(rows.split, rows.rows).tolist()
        assert getattr(made, name) is found
    assert not any(model.modes)


def test_with_samples_the_reported_rows_are_not_those_that_decide() -> None:
    reader = PlantedReader(train=[0] * 60, val=[0, 1] * 20, test=[0, 1] * 10)
    split = planted_split(reader, "sample", list(range(30)))
    made = Subject(Lookup(np.zeros((reader.total, 2))), split, AuditConfig(), 0)  # type: ignore[arg-type]
    decide = reader.sample_ids("train", split.forget_stop.rows)
    assert len(made.forget_all) == 30 == len(made.forget_train) + len(decide)
    assert not np.isin(made.forget_train.sample_ids, decide).any()
    unseen = np.concatenate([reader.sample_ids("val", split.stop_retain.rows)])
    assert not np.isin(made.holdout.sample_ids, unseen).any()


@pytest.mark.parametrize("kind", ["class", "sample"])
@pytest.mark.parametrize("count", [1, 2, 4, 50])
def test_predictions_in_parts_are_those_of_one_process(
    kind: RequestKind, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of 7 rows; each is forwarded once, by one of the parts, and no more by the subject itself."""
    monkeypatch.setattr(subject, "ROWS_AT_ONCE", 7)
    reader = PlantedReader(train=[0] * 30 + [1] * 30, val=[0, 1] * 20, test=[0, 1] * 10)
    split = planted_split(reader, kind, list(range(30)))
    logits = np.random.default_rng(0).normal(size=(reader.total, 2))
    models = [Lookup(logits) for _ in range(count)]
    parts = [predict_part(model, split, number, count) for number, model in enumerate(models)]  # type: ignore[arg-type]
    sizes = [len(getattr(split, place)) for name, place in PLACES.items() if kind == "sample" or name != "forget_train"]
    shared = [len(model.modes) for model in models]
    assert sum(shared) == sum(max(1, -(-size // 7)) for size in sizes)
    assert max(shared) - min(shared) <= 1
    whole = Subject(Lookup(logits), split, AuditConfig(), 0)  # type: ignore[arg-type]
    never: Any = None
    made = Subject(never, split, AuditConfig(), 0, parts)
    for name in PLACES:
        for have, want in zip(vars(getattr(made, name)).values(), vars(getattr(whole, name)).values(), strict=True):
            np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize(
    "values",
    [
        {"oracles": -1},
        {"max_rows": 0},
        {"stop_rows": 0},
        {"rebound_steps": 0},
        {"rebound_batch": 0},
        {"relearn_steps": 0},
        {"low_fpr": 0.0},
        {"low_fpr": 1.0},
        {"rebound_lr": 0.0},
        {"relearn_lr": 0.0},
        {"audits": ("accuracy",)},
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        AuditConfig(**values)
    AuditConfig(oracles=0, max_rows=1, stop_rows=1, rebound_steps=1, rebound_batch=1, relearn_steps=1)
