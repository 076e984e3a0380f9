"""One driver a run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cu_core.config_io import ConfigError
from pipelines import claim as module
from pipelines.claim import FILE, claim


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.05)


def said(folder: Path, host: str, pid: int, began: float = 0.0) -> None:
    (folder / FILE).write_text(json.dumps({"host": host, "pid": pid, "began": began, "beat": 7}))


def test_a_living_driver_elsewhere_refuses_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats = iter(range(9))
    monkeypatch.setattr(module, "_read", lambda folder: {"host": "elsewhere", "pid": 1, "beat": next(beats)})
    with pytest.raises(ConfigError, match="process 1 on elsewhere is at work on that run"), claim(tmp_path):
        pass


def test_a_living_driver_here_refuses_another_at_once(tmp_path: Path) -> None:
    process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    said(tmp_path, socket.gethostname(), process.pid, process.create_time())
    with pytest.raises(ConfigError, match=f"process {process.pid} on"), claim(tmp_path):
        pass
    process.kill()
    process.wait()
    with claim(tmp_path):
        pass


def test_a_driver_that_died_elsewhere_is_waited_for_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(tmp_path, "elsewhere", 1)
    with claim(tmp_path):
        assert json.loads((tmp_path / FILE).read_text())["pid"] in (1, os.getpid())
    assert json.loads((tmp_path / FILE).read_text())["beat"] is None
    assert "looking whether the driver on elsewhere" in capsys.readouterr().err
    with claim(tmp_path):
        pass
    assert not capsys.readouterr().err
