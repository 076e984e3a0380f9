"""Whether a server answers, found out within seconds: its clients wait for minutes, or for ever, and say nothing."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

SECONDS = 5.0


def why_silent(ask: Callable[[], object]) -> str | None:
    """Ask a server; what is wrong, or None where it answered. Whatever blocks (a name that is looked up, an answer that
    comes letter by letter) is left after ``SECONDS``."""
    said: list[str | None] = []

    def call() -> None:
        try:
            ask()
            said.append(None)
        except (OSError, ValueError) as error:
            said.append(str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return said[0] if said else f"no answer in {SECONDS:.0f} s"


def connect(host: str, port: int) -> None:
    """Raises: OSError if nothing listens there."""
    socket.create_connection((host, port), timeout=SECONDS).close()


def ask_http(url: str) -> None:
    """Any answer will do, a refusal too.

    Raises: OSError if there is none.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    try:
        request = urllib.request.Request(f"{parts.scheme}://{host}{parts.path.rstrip('/')}/health")
        urllib.request.urlopen(request, timeout=SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
    except http.client.HTTPException as error:
        raise ValueError(f"what answers does not speak HTTP ({type(error).__name__})") from error
