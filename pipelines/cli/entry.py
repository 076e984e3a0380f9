"""Entry point of ``cu``. Ctrl-C prints one line, also while libraries are still being loaded."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import MutableMapping

from pipelines.cluster.signals import interrupt_on_sigterm

ELSEWHERE = ("submit", "jobs", "stop")
"""Commands about a cluster that is there."""


def keep_to_this_machine(environment: MutableMapping[str, str]) -> None:
    """A Ray of our own binds to the loopback address and wants a token, which no file keeps. Ray reads these when it is
    imported; what the user has set stays."""
    environment.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    environment.setdefault("RAY_AUTH_MODE", "token")
    if environment["RAY_AUTH_MODE"] == "token" and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & environment.keys():
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def main() -> None:
    interrupt_on_sigterm()
    if not os.environ.get("RAY_ADDRESS") and sys.argv[1:2] not in [[command] for command in ELSEWHERE]:
        keep_to_this_machine(os.environ)
    try:
        from pipelines.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("cu: interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
