"""The board without Ray; workers of a real one are in tests/integration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from cu_core.types import StepReport
from pipelines.cluster import board
from pipelines.cluster.board import board_step, ray_board


def state() -> Any:
    """The actor's object itself."""
    return board._Board.__ray_metadata__.modified_class()


def test_a_checkpoint_is_asked_for_until_it_was_taken() -> None:
    made = state()
    assert (made.is_asked(), made.is_taken()) == (False, False)
    made.taken()  # one that nobody asked for
    assert (made.is_asked(), made.is_taken()) == (False, False)
    made.ask()
    assert (made.is_asked(), made.is_taken()) == (True, False)
    made.taken()
    assert (made.is_asked(), made.is_taken()) == (False, True)


def test_the_latest_state_of_every_bar_is_kept() -> None:
    made = state()
    assert made.read() == {}
    made.update("a", 1, 9, "")
    made.update("b", 2, 2, "x")
    made.update("a", 3, 9, "loss 0.100")
    assert made.read() == {"a": (3, 9, "loss 0.100"), "b": (2, 2, "x")}


def test_a_step_is_reported_with_its_loss() -> None:
    handle = Mock()
    report = board_step(handle, "unlearn")
    report(StepReport(3, 9, {"loss": 0.1234}))
    report(StepReport(4, 9, {}))
    assert [call.args for call in handle.update.remote.call_args_list] == [
        ("unlearn", 3, 9, "loss 0.123"),
        ("unlearn", 4, 9, ""),
    ]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands for Ray and the bars: what was drawn, and the boards that were killed."""
    actor, drawn, placed = Mock(), Mock(), Mock()
    actor.read.remote.return_value = {}

    @contextmanager
    def bars() -> Iterator[Mock]:
        yield drawn

    fake = Mock(get=lambda value: value)
    fake.get_runtime_context.return_value.get_node_id.return_value = "this machine"
    monkeypatch.setattr(board, "ray", fake)
    monkeypatch.setattr(board, "bars", bars)
    monkeypatch.setattr(board, "NodeAffinitySchedulingStrategy", placed)
    monkeypatch.setattr(board, "_Board", Mock())
    board._Board.options.return_value.remote.return_value = actor  # type: ignore[attr-defined]
    return SimpleNamespace(actor=actor, drawn=drawn, placed=placed, kill=fake.kill)


def test_what_was_reported_last_is_drawn_when_the_block_ends(ray: SimpleNamespace) -> None:
    with ray_board() as handle:
        assert handle is ray.actor
        ray.actor.read.remote.return_value = {"a": (1, 2, "x"), "b": (5, 5, "")}
    ray.placed.assert_called_once_with("this machine", soft=False)
    assert [call.args for call in ray.drawn.update.call_args_list][-2:] == [("a", 1, 2, "x"), ("b", 5, 5, "")]
    ray.kill.assert_called_once_with(ray.actor)


def test_a_board_is_removed_after_an_error_too(ray: SimpleNamespace) -> None:
    with pytest.raises(KeyError, match="lost"), ray_board():
        raise KeyError("lost")
    ray.kill.assert_called_once_with(ray.actor)
