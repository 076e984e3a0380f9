"""Which checkpoint is the one that was asked for."""

from __future__ import annotations

from pipelines.run.preemption import ASKED, LocalSignal, ReportTaken


def test_a_checkpoint_that_was_due_anyway_is_not_taken_for_it() -> None:
    preemption = LocalSignal()
    announce = ReportTaken(preemption)
    preemption.ask()
    announce.after_report(None, [{"step": 120, ASKED: 0.0}, {"step": 120}], "a checkpoint")
    announce.after_report(None, [{"step": 121, ASKED: 1.0}, {"step": 121}], None)
    assert not preemption.is_taken()
    announce.after_report(None, [{"step": 122, ASKED: 1.0}, {"step": 122}], "a checkpoint")
    assert preemption.is_taken()
