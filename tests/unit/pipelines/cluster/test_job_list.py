"""A small HTTP server plays the dashboard; that of a real cluster is asked in tests/soak."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.cluster.address import ClusterConfig
from pipelines.cluster.job_list import Job, list_jobs

JOBS = [
    {"submission_id": "a", "status": "SUCCEEDED", "start_time": 1000, "end_time": 3000,
     "entrypoint": "python -m pipelines.cli.entry unlearn x.yaml"},
    {"submission_id": "b", "status": "RUNNING", "start_time": 5000, "end_time": None, "entrypoint": "sleep 1"},
    {"submission_id": None, "status": "RUNNING", "start_time": 9000, "end_time": None, "entrypoint": "a driver"},
]  # fmt: skip


class Dashboard(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Bearer secret"
        self.send_response((200 if allowed else 401) if self.path == "/api/jobs/" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(JOBS).encode() if allowed else b"")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Dashboard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_submitted_jobs_newest_first(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert list_jobs(ClusterConfig(address=f"{address}/")) == [
        Job("b", "running", 5.0, None, "sleep 1"),
        Job("a", "succeeded", 1.0, 3.0, "unlearn x.yaml"),
    ]


def test_a_token_is_asked_for_or_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="wants a token: give --token-file"):
        list_jobs(ClusterConfig(address=address))
    (tmp_path / "token").write_text("other")
    with pytest.raises(ConfigError, match="refuses the token of"):
        list_jobs(ClusterConfig(address=address, token_file=tmp_path / "token"))


def test_an_address_where_nothing_answers() -> None:
    with pytest.raises(ConfigError, match="no cluster answers at http://127.0.0.1:9"):
        list_jobs(ClusterConfig(address="http://127.0.0.1:9"))
