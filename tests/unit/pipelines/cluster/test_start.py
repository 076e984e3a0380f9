"""Clusters that do not answer, and names that sockets cannot have; nothing here starts a Ray."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from cu_core.errors import ConfigError
from pipelines.cluster import start
from pipelines.cluster.start import LONGEST, start_ray


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1", "refused"),
        ("ray://127.0.0.1:1", "refused"),
        ("nonsense", "HOST:PORT"),
        ("127.0.0.1:x", "'x' is no port"),
        ("127.0.0.1:70000", "'70000' is no port"),
        ("no-such-host.invalid:6379", "known|resolution|no answer"),
    ],
)
def test_a_cluster_that_is_gone_is_told_at_once(address: str, why: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^RAY_ADDRESS: no cluster answers at {address}: .*({why}).*unset RAY_ADDRESS"
    ):
        start_ray(address)


def test_a_port_that_listens_and_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(ConfigError, match="does not speak Ray's protocol"):
            start_ray(f"127.0.0.1:{mute.getsockname()[1]}")
        assert time.monotonic() - began < 4


def test_what_speaks_the_protocol_is_taken() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert start._why_silent(f"127.0.0.1:{port}") is None
    finally:
        server.stop(None)


def test_a_long_folder_for_sockets_is_replaced_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/" + "x" * (LONGEST - 1))
    assert "_temp_dir" not in start._options_of_own()
    monkeypatch.setenv("TMPDIR", "/" + "x" * LONGEST)
    short = start._options_of_own()["_temp_dir"]
    assert len(short) <= LONGEST
    assert os.environ["TMPDIR"] == short
    assert f"TMPDIR is longer than the {LONGEST} letters" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(start, "SHORT", str(tmp_path / "nope"))
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * LONGEST)
    with pytest.raises(ConfigError, match="^RAY_TMPDIR: .*set RAY_TMPDIR to a short folder"):
        start._options_of_own()
    os.rmdir(short)
