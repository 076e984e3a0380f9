"""What every method has without saying it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import cu_core.dist as ranks
from cu_core.errors import UserError
from cu_core.methods import base
from cu_core.methods.base import ClosedForm, Method, StepContext, require, share
from cu_core.types import Losses, UnlearnBatch
from tests.unit.cu_core.methods.tiny import Linear, batch, context, preparation


@dataclass(frozen=True, kw_only=True)
class Plain(Method):
    name: str = "plain"
    kinds = ("sample",)

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        return share(torch.zeros(()))


class Edit(ClosedForm):
    name = "edit"


def prep(count: int) -> Any:
    """Rows whose only pixel is their number; the ids are a hundred more."""
    return preparation(Linear([[1.0], [2.0]]), [[float(n)] for n in range(count)], [0, 1] * (count // 2), [0])


@pytest.mark.parametrize(
    ("kinds", "kind", "words"), [(("sample",), "class", "a class"), (("class",), "sample", "samples")]
)
def test_a_request_that_it_cannot_serve_is_refused(kinds: Any, kind: Any, words: str) -> None:
    method = Plain()
    object.__setattr__(method, "kinds", kinds)
    method.check(kinds[0])
    with pytest.raises(UserError, match=rf"^method\.name=plain cannot forget {words}; `cu methods` says"):
        method.check(kind)


def test_usual_needs_and_costs() -> None:
    assert Plain().needs() == {"forget rows", "retain rows", "labels"}
    assert Plain().rows_per_step(3, 5) == 8
    assert Plain().rows_to_prepare(300, 5000, 2) == 0
    assert Plain().prepare(prep(4)) == 0
    assert not Plain.closed_form


def test_an_edit_of_weights_takes_no_rows_and_has_no_loss() -> None:
    edit = Edit()
    assert (edit.closed_form, edit.whole_weights, edit.rows_per_step(3, 5)) == (True, True, 0)
    with pytest.raises(AssertionError, match="edit has no loss"):
        edit.losses(context(), batch([0], [1]))


def test_progress_is_the_part_of_the_steps_before_this_one() -> None:
    assert [context(step=step, max_steps=8).progress for step in (0, 2, 7)] == [0, 0.25, 0.875]


def test_rows_are_forwarded_in_pieces_with_all_that_belongs_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "ROWS_AT_ONCE", 2)
    rows = torch.tensor([5, 0, 3, 1, 4]).numpy()
    found = list(prep(6).batches(rows))
    assert [len(b) for b in found] == [2, 2, 1]
    assert [i for b in found for i in b.sample_ids.tolist()] == [105, 100, 103, 101, 104]
    assert [x for b in found for x in b.images.flatten().tolist()] == [5, 0, 3, 1, 4]
    assert [y for b in found for y in b.labels.tolist()] == [1, 0, 1, 1, 0]
    assert list(prep(6).batches(rows[:0])) == []


def test_each_rank_forwards_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, parts = torch.arange(5).numpy(), []
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    for number in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda number=number: number)
        parts.append([i - 100 for b in prep(6).batches(rows) for i in b.sample_ids.tolist()])
    assert parts == [[0, 1], [2, 3, 4]]


def test_what_prepare_sees() -> None:
    made = prep(4)
    assert (made.device, made.num_classes) == (torch.device("cpu"), 2)


def test_the_record_of_a_step_has_no_gradient_and_the_loss_has() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    found = share(3 * x, part=x * x)
    assert found.total.requires_grad
    assert {n: (v.item(), v.requires_grad) for n, v in found.terms.items()} == {"loss": (6, False), "part": (4, False)}


def test_a_model_that_was_asked_for_is_there() -> None:
    given = context(reference={}).forward
    assert require(given) is given
    with pytest.raises(AssertionError):
        require(None)
