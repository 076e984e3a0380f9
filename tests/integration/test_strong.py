"""`cu audit-strong` and `cu calibrate` as processes, on real Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cu_core.audit.explain_strong import STRONG
from cu_core.config_io import dump_config
from tests.conftest import small

CU = [sys.executable, "-m", "pipelines.cli.entry"]
MODELS = 8


SAMPLES = {"kind": "by_random", "count": 120, "seed": 1}


def write_config(place: Path, digits: Path, request: dict[str, Any] = SAMPLES, oracles: int = 1) -> Path:
    config = small(
        digits,
        place / "out",
        request=request,
        train={"epochs": 2, "batch": 64, "optimizer": {"lr": 0.05}},
        stop={"max_steps": 6, "check_every": 6},
        audit={"oracles": oracles, "rebound_steps": 3, "relearn_steps": 2},
    )
    path = place / "run.yaml"
    path.write_text(dump_config(config))
    return path


def strong(place: Path, name: str) -> list[str]:
    return [*CU, "audit-strong", str(place / "run.yaml"), "--models", str(MODELS), "--out", str(place / name)]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.run(words, capture_output=True, check=False, text=True, env=environment)


@pytest.fixture(scope="module")
def undisturbed(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("undisturbed")
    write_config(place, digits)
    done = run(strong(place, "audit"))
    assert done.returncode == 0, done.stderr
    return place, done.stderr


def test_both_pools_are_made_and_announced(undisturbed: tuple[Path, str]) -> None:
    place, printed = undisturbed
    assert "16 members: 0 found, 16 to make; 24 models to train" in printed
    assert "min and" in printed  # expected time and memory
    report = json.loads((place / "audit" / "strong.json").read_text())
    figures = {f["name"]: f for f in report["figures"]}
    assert set(figures) | set(report["absent"]) == set(STRONG)
    assert set(report["absent"]) == {"klom_forget", "klom_unseen"}  # 8 models: 4 against 4
    assert figures["gaussian_forget"]["detects"] <= 2
    told = (place / "audit" / "strong.md").read_text()
    assert "klom_forget is absent: 4 models against 4 do not show a shift of 2 standard deviations" in told
    assert f"{figures['gaussian_forget']['detects']:.2f} sd |" in told
    assert figures["u_lira_auc"]["low"] <= figures["u_lira_auc"]["unlearned"] <= figures["u_lira_auc"]["high"]
    assert all(0 <= figures[name]["unlearned"] <= 1 for name in figures if not name.startswith("gaussian"))
    assert report["targets"] == 120
    assert "| U-LiRA AUC |" in (place / "audit" / "strong.md").read_text()


def test_a_second_start_makes_nothing(undisturbed: tuple[Path, str]) -> None:
    place, _ = undisturbed
    done = run(strong(place, "again"))
    assert done.returncode == 0, done.stderr
    assert "16 members of the pools found, none to make" in done.stderr
    reports = [json.loads((place / name / "strong.json").read_text()) for name in ("audit", "again")]
    assert reports[0] == reports[1]
    assert run(strong(place, "again")).returncode == 2


def test_killed_in_the_middle_no_model_is_trained_twice(
    undisturbed: tuple[Path, str], digits: Path, tmp_path: Path
) -> None:
    write_config(tmp_path, digits)
    process = subprocess.Popen(strong(tmp_path, "audit"), start_new_session=True, stderr=subprocess.DEVNULL)
    models, deadline = tmp_path / "out" / "models", time.monotonic() + 240
    while len(finished := list(models.glob("[!.]*/meta.json"))) < 4:
        assert process.poll() is None, "the audit ended before it could be killed"
        assert time.monotonic() < deadline, "no four models after four minutes"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = {file: file.stat().st_mtime_ns for file in finished}
    done = run(strong(tmp_path, "audit"))
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime_ns for file in written} == written
    have, want = (json.loads((p / "audit" / "strong.json").read_text())["figures"] for p in (tmp_path, undisturbed[0]))
    assert have == want


def test_verdicts_are_calibrated_on_oracles(digits: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path, digits, {"kind": "by_class", "classes": [5]}, oracles=5)
    words = [*CU, "calibrate", str(path)]
    amounts = ["--left", "50", "--noise", "300", "--replicates", "2"]
    done = run([*words, "--against", "3", "--against", "4", *amounts, "--out", str(tmp_path / "table.md")])
    assert done.returncode == 0, done.stderr
    rows = [
        line.strip("| ").split(" | ") for line in (tmp_path / "table.md").read_text().splitlines() if line[:2] == "| "
    ]
    found = {(row[0], row[2]): row for row in rows}
    assert found["original", "4"][5] == "100%"  # under-forgotten
    assert found["left in", "4"][3] == "2"  # models
    assert float(found["noise on weights", "4"][4].split("%")[0]) > 50  # told from the oracles: it answers at random
    assert found["held-out oracle", "3"][3] == "5"
    assert run([*words, "--against", "5"]).returncode == 2
