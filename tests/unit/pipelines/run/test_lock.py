"""One driver a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from cu_core.errors import ConfigError
from pipelines.cluster.signals import interrupt
from pipelines.run import lock as module
from pipelines.run.lock import FILE, run_lock


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.05)
    monkeypatch.setattr(module, "SETTLE", 0.2)


def said(folder: Path, pid: int, began: float = 0.0, **machine: str) -> None:
    whole = {**module._machine(), **machine, "pid": pid, "began": began, "id": "other", "beat": 7}
    (folder / FILE).write_text(json.dumps(whole))


def test_a_living_driver_elsewhere_refuses_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats = iter(range(9))
    monkeypatch.setattr(module, "_read", lambda folder: {"host": "elsewhere", "pid": 1, "beat": next(beats)})
    with pytest.raises(ConfigError, match="process 1 on elsewhere is at work on that run"), run_lock(tmp_path):
        pass


def test_a_living_driver_here_refuses_another_at_once(tmp_path: Path) -> None:
    process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    said(tmp_path, process.pid, process.create_time())
    with pytest.raises(ConfigError, match=f"process {process.pid} on"), run_lock(tmp_path):
        pass
    process.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    with run_lock(tmp_path):
        pass
    process.wait()


@pytest.mark.parametrize("machine", [{"host": "elsewhere"}, {"boot": "another of that name"}])
def test_a_driver_that_died_elsewhere_is_waited_for_once(
    machine: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(tmp_path, 1, **machine)
    with run_lock(tmp_path):
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert json.loads((tmp_path / FILE).read_text())["beat"] is None
    assert "looking whether the driver on" in capsys.readouterr().err
    with run_lock(tmp_path):
        pass
    assert not capsys.readouterr().err


def test_of_two_that_take_over_at_once_one_is_refused(tmp_path: Path) -> None:
    said(tmp_path, 1, host="elsewhere")
    threading.Timer(0.4, lambda: said(tmp_path, 2, host="third")).start()  # 0.3 s: the wait for the one that died
    with pytest.raises(ConfigError, match="process 2 on third"), run_lock(tmp_path):
        pass


@pytest.mark.parametrize("in_background", [False, True])
def test_a_driver_that_was_taken_over_ends(in_background: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """In the background of a shell SIGINT is ignored; `cu` then ends by SIGTERM."""
    for number, handler in (
        (signal.SIGINT, signal.SIG_IGN if in_background else signal.default_int_handler),
        (signal.SIGTERM, interrupt),
    ):
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, handler)))

    def work() -> None:
        with run_lock(tmp_path):
            said(tmp_path, 2, host="third")
            for _ in range(600):
                time.sleep(0.1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert json.loads((tmp_path / FILE).read_text())["id"] == "other"


def test_half_a_sign_of_life_is_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"host": ')
    with run_lock(tmp_path):
        pass
