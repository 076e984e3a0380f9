"""Where the ``cu`` program begins: Ctrl-C is one line from the first moment, while libraries are still loading."""

from __future__ import annotations

import signal
import sys
import threading


def interrupt_on_sigterm() -> None:
    """SIGTERM ends a command as Ctrl-C does, until something else is made of it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))


def main() -> None:
    interrupt_on_sigterm()
    try:
        from pipelines.cli import main as run

        run()
    except KeyboardInterrupt:
        print("cu: interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
