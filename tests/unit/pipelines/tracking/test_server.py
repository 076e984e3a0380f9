"""Servers that do not answer, and databases that were lost."""

from __future__ import annotations

import socket
import time

import pytest

from cu_core.config import RunConfig, TrackingConfig
from cu_core.errors import ConfigError
from pipelines import probe
from pipelines.tracking.server import open_client, tracking_uri


def at(uri: str | None) -> RunConfig:
    return RunConfig(tracking=TrackingConfig(uri=uri))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_takes_the_call_and_says_nothing_is_left(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(ConfigError, match="no answer in 0 s|timed out"):
            open_client(at(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}"))
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("uri", ["http://127.0.0.1:99999", "http://[::1", "postgresql://127.0.0.1:1/mlflow"])
def test_addresses_at_which_nothing_can_be(uri: str) -> None:
    with pytest.raises(ConfigError, match="tracking.uri"):
        open_client(at(uri))


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as told:
        open_client(at("http://me:hunter2@127.0.0.1:1"))
    assert "hunter2" not in str(told.value)
    with pytest.raises(ConfigError, match="was stored without its password; set MLFLOW_TRACKING_URI"):
        tracking_uri(at("http://***@127.0.0.1:1"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert tracking_uri(at("http://***@127.0.0.1:1")) == "http://elsewhere"
