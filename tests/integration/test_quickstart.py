"""`cu quickstart` as a newcomer runs it, and its report in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the finished run."""
    place = tmp_path_factory.mktemp("quickstart")
    words = [sys.executable, "-m", "pipelines.cli", "quickstart"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for shown in ("mean gap to the oracle", "report.html", "mlflow ui --backend-store-uri", "Try next"):
        assert shown in done.stderr
    (folder,) = (place / "outputs" / "runs").iterdir()
    return folder


def test_the_class_is_forgotten(run: Path) -> None:
    report = json.loads((run / "audit.json").read_text())
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["forget_accuracy"]["original"] > 90
    assert rows["forget_accuracy"]["unlearned"] <= 3
    assert rows["forget_test_accuracy"]["unlearned"] <= 3
    assert rows["test_accuracy"]["unlearned"] >= rows["test_accuracy"]["oracles"][0] - 5
    assert report["leaks"] == 0
    assert report["retain_ids_checked"] == report["cost"]["retain_rows"]


def test_the_report_needs_nothing_else(run: Path) -> None:
    html = (run / "report.html").read_text()
    addresses = set(re.findall(r"""(?:src|href)=["']([^"'#]+)""", html))
    assert not addresses
    for picture in ("Accuracy and membership attack", "Stop set over steps", "Loss terms over steps"):
        assert f'aria-label="{picture}"' in html


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")
def test_a_browser_shows_it_without_complaint(run: Path, tmp_path: Path) -> None:
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *quiet, "--enable-logging=stderr",
             f"--user-data-dir={tmp_path}", "--dump-dom", (run / "report.html").as_uri()]  # fmt: skip
    shown = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "What was asked and done" in shown.stdout
    assert shown.stdout.count("<figure") == 6
    assert "CONSOLE" not in shown.stderr
