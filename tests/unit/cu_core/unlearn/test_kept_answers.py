from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cu_core.types import Outputs
from cu_core.unlearn import kept_answers
from cu_core.unlearn.kept_answers import KeptAnswers

IDS = np.array([40, 10, 30, 20])
SCALE = torch.tensor(5.0)


class Counting:
    """Answers of a row are its number times 1, 2 and 3; every call is noted."""

    def __init__(self) -> None:
        self.calls: list[list[float]] = []

    def __call__(self, sets: dict[str, Tensor]) -> dict[str, Outputs]:
        self.calls.append(torch.cat(list(sets.values()))[:, 0].tolist())
        return {n: Outputs(x, 2 * x, torch.cat([3 * x, x], 1), SCALE) for n, x in sets.items()}


def rows(*ids: int) -> dict[str, Tensor]:
    return {"forget": torch.tensor(ids, dtype=torch.float32)[:, None]}


def test_a_batch_of_rows_that_were_answered_before_is_not_forwarded() -> None:
    model = Counting()
    kept = KeptAnswers(model, IDS)
    for ids in ((10, 20), (10, 20), (30, 10), (20, 30), (40,), (40, 30, 20, 10)):
        found = kept.of(np.array(ids))(rows(*ids))["forget"]
        assert found.embedding[:, 0].tolist() == list(ids)
        assert found.hidden[:, 0].tolist() == [2 * i for i in ids]
        assert found.logits.tolist() == [[3 * i, i] for i in ids]
        assert (found.scale, found.bias) == (SCALE, None)
    assert model.calls == [[10, 20], [30, 10], [40]]  # together with a new row, a known one is forwarded too


def test_rows_of_other_sets_are_forwarded_in_every_call() -> None:
    model = Counting()
    kept = KeptAnswers(model, IDS)
    for number in (1, 2):
        found = kept.of(np.array([10]))(
            {**rows(10), "retain": torch.full((1, 1), number), "forget texts": rows(7)["forget"]}
        )
        assert [found[name].embedding.item() for name in ("forget", "retain", "forget texts")] == [10, number, 7]
        kept.of(np.array([10]))({"retain": torch.zeros(1, 1)})
    assert model.calls == [[10, 1, 7], [0], [2, 7], [0]]
    kept.of(np.array([10]))({**rows(10), "forget texts": rows(7)["forget"]})
    assert model.calls[-1] == [10, 7]  # captions are forwarded beside images only
    assert kept.of(IDS[:0])(rows())["forget"].logits.shape == (0, 2)  # a rank without rows


@pytest.mark.parametrize(("most", "calls"), [(4 * 16, 1), (4 * 16 - 1, 2)])
def test_answers_are_kept_if_those_of_all_rows_fit(most: int, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 bytes a row, four rows."""
    monkeypatch.setattr(kept_answers, "MOST_BYTES", most)
    model = Counting()
    kept = KeptAnswers(model, IDS)
    for _ in range(2):
        kept.of(np.array([10, 20]))(rows(10, 20))
    assert len(model.calls) == calls


def test_without_ids_nothing_is_kept() -> None:
    model = Counting()
    for _ in range(2):
        KeptAnswers(model, IDS[:0]).of(np.array([10]))(rows(10))
    assert len(model.calls) == 2
