"""SIGTERM where Ctrl-C itself is ignored or blocked, as in the background of a shell and in jobs of Ray."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time
from pipelines.cluster.signals import interrupt_on_sigterm
{before}
interrupt_on_sigterm()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    "before",
    [
        "",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])",
    ],
)
def test_sigterm_interrupts(before: str) -> None:
    words = [sys.executable, "-c", PROGRAM.format(before=before)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
