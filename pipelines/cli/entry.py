"""Entry point of ``cu``. Ctrl-C prints one line, also while libraries are still being loaded."""

from __future__ import annotations

import sys

from pipelines.cluster.signals import interrupt_on_sigterm


def main() -> None:
    interrupt_on_sigterm()
    try:
        from pipelines.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("cu: interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
