"""Where the ``cu`` program begins: Ctrl-C is one line from the first moment, while libraries are still loading."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from pipelines.cli import main as run

        run()
    except KeyboardInterrupt:
        print("cu: interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
