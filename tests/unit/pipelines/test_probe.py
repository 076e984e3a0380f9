"""Whether a server answers."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pipelines import probe
from pipelines.probe import ask_http, connect, why_silent


@pytest.fixture
def drip() -> Iterator[int]:
    """A server that sends a letter of its answer ten times a second."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            taken, _ = server.accept()
            with taken:
                for letter in b"HTTP/1.1 200 OK" * 100:
                    time.sleep(0.1)
                    try:
                        taken.send(bytes([letter]))
                    except OSError:
                        return

        threading.Thread(target=send, daemon=True).start()
        yield server.getsockname()[1]


def test_an_answer_letter_by_letter_is_not_waited_for(drip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.5)
    began = time.monotonic()
    assert why_silent(lambda: ask_http(f"http://127.0.0.1:{drip}")) == "no answer in 0 s"
    assert time.monotonic() - began < 2


def test_any_answer_will_do() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert why_silent(lambda: ask_http(f"http://me:word@127.0.0.1:{server.server_port}/mlflow/")) is None
    finally:
        server.shutdown()


def test_what_is_wrong_is_told() -> None:
    assert "refused" in str(why_silent(lambda: connect("127.0.0.1", 1)))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def other() -> None:
            taken, _ = server.accept()
            taken.sendall(b"220 mail here\r\n")
            taken.close()

        threading.Thread(target=other, daemon=True).start()
        assert "does not speak HTTP" in str(why_silent(lambda: ask_http(f"http://127.0.0.1:{server.getsockname()[1]}")))
