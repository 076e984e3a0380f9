"""SIGTERM ends every command as Ctrl-C does; an unlearning makes more of it (``run.preemption``)."""

from __future__ import annotations

import signal
import threading
from types import FrameType


def interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does, also where SIGINT itself is ignored or blocked, as in the background of a shell and in jobs
    of Ray."""
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def interrupt_on_sigterm() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
