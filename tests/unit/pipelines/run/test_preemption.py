"""Which checkpoint is the one that was asked for."""

from __future__ import annotations

from pipelines.run.preemption import ASKED, Announce, HereDesk


def test_a_checkpoint_that_was_due_anyway_is_not_taken_for_it() -> None:
    desk = HereDesk()
    announce = Announce(desk)
    desk.ask()
    announce.after_report(None, [{"step": 120, ASKED: 0.0}, {"step": 120}], "a checkpoint")
    announce.after_report(None, [{"step": 121, ASKED: 1.0}, {"step": 121}], None)
    assert not desk.is_taken()
    announce.after_report(None, [{"step": 122, ASKED: 1.0}, {"step": 122}], "a checkpoint")
    assert desk.is_taken()
