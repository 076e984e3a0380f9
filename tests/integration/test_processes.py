"""`cu` and `torchrun` as processes: what Ctrl-C leaves behind, and a run without Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from cu_core.config_io import dump_config
from tests.conftest import small

CU = [sys.executable, "-m", "pipelines.cli.entry"]


def write_config(path: Path, digits: Path, storage: Path, **parts: Any) -> Path:
    config = small(
        digits,
        storage,
        batches={"forget_batch": 16, "retain_batch": 16},
        stop={"max_steps": 200, "check_every": 50, "further_steps": 200},
        audit={"oracles": 1, "audits": ["accuracy", "membership"]},
        **parts,
    )
    path.write_text(dump_config(config))
    return path


def wait_for(what: str, pattern: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not list(folder.glob(pattern)):
        assert process.poll() is None, f"the run ended before there was {what}"
        assert time.monotonic() < deadline, f"no {what} after four minutes"
        time.sleep(0.05)


def test_ctrl_c_ends_every_process_and_the_run_resumes(digits: Path, storage: Path, tmp_path: Path) -> None:
    workers = {"count": 2, "checkpoint_every": 20}
    config = write_config(tmp_path / "run.yaml", digits, storage, name="stopped", workers=workers)
    run = storage / "runs" / "stopped"
    process = subprocess.Popen([*CU, "unlearn", config], start_new_session=True, stderr=subprocess.PIPE)
    wait_for("a checkpoint", "ray/checkpoint_*", run, process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 3  # Ray's own processes and the workers
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors.decode()
    assert "--resume" in errors.decode()
    assert "Traceback" not in errors.decode()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert not (run / "unlearned").exists()

    again = subprocess.run([*CU, "unlearn", config, "--resume", "stopped"], capture_output=True, check=False)
    assert again.returncode == 0, again.stderr.decode()
    assert (run / "report.html").is_file()


def test_sigterm_takes_a_checkpoint_and_the_run_resumes(digits: Path, storage: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "run.yaml", digits, storage, name="noticed", workers={"checkpoint_every": 0})
    run = storage / "runs" / "noticed"
    words = [*CU, "unlearn", config, "stop={rule: none, max_steps: 600}", "--local"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "unlearn: in this process" not in process.stderr.readline():
        assert process.poll() is None, "the run ended before it began to unlearn"
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "a checkpoint was taken" in errors
    (checkpoint,) = (run / "checkpoints").glob("step-*")
    assert 0 < int(checkpoint.name.removeprefix("step-")) < 600

    again = subprocess.run([*words, "--resume", "noticed"], capture_output=True, check=False)
    assert again.returncode == 0, again.stderr.decode()
    assert f"goes on after step {int(checkpoint.name.removeprefix('step-'))}" in again.stderr.decode()
    taken = json.loads((run / "steps.json").read_text())
    assert [number for number, _ in taken] == list(range(1, 601))


@pytest.mark.parametrize("ranks", [2])
def test_torchrun_needs_no_ray(ranks: int, digits: Path, storage: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "run.yaml", digits, storage)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "-m", "cu_core"]
    words = [*torchrun, config, "stop.max_steps=20", "audit.oracles=1", "--out", tmp_path / "out"]
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert "20 steps" in done.stdout
    assert "oracles" in done.stdout
    assert "verdict: inconclusive (" in done.stdout  # of one oracle
    assert (tmp_path / "out" / "unlearned" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.yaml"], "no configuration file absent.yaml; complete ones are in tune_configs/base/."),
        (
            ["CONFIG", "workers.placement=SPREAD"],
            "workers.placement=SPREAD has no effect under torchrun; it is a setting of `cu unlearn`.",
        ),
        (["CONFIG", "workers.count=3"], "workers.count=3, but torchrun started 1: --nproc-per-node decides."),
    ],
)
def test_cu_core_says_in_one_line_what_is_wrong(
    words: list[str], message: str, digits: Path, storage: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", digits, storage)
    given = [str(config) if word == "CONFIG" else word for word in words]
    command = [sys.executable, "-m", "cu_core", *given, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"cu_core: {message}"]
