"""`cu quickstart` as a newcomer runs it, and its report in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from jsonschema import validate

from cu_core.audit.table import AUDITS

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel puts into a Python without a clone."""
    place = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-q", "-w", str(place)]
    tree = place / "tree"  # a build leaves files behind
    for folder in ("cu_core", "pipelines", "tune_configs"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / file, tree / file)
    subprocess.run(words, cwd=tree, check=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


@pytest.fixture(scope="module")
def run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the finished run, of the wheel, in an empty folder."""
    place = tmp_path_factory.mktemp("quickstart")
    words = [sys.executable, "-m", "pipelines.cli.main", "quickstart"]
    env = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(words, cwd=place, env=env, capture_output=True, text=True, check=False)
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
    assert not set(re.findall(r"""(?:src|href)=["']([^"'#]+)""", html))


def render(page: Path, profile: Path) -> tuple[str, list[str]]:
    """(the page's DOM after its scripts ran, console messages)."""
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *quiet, "--enable-logging=stderr",
             f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]  # fmt: skip
    shown = subprocess.run(words, capture_output=True, text=True, check=True)
    return shown.stdout, [line for line in shown.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
def test_a_browser_shows_every_section_without_complaint(run: Path, tmp_path: Path) -> None:
    dom, messages = render(run / "report.html", tmp_path)
    assert messages == []
    assert dom.index('aria-label="Verdict"') < dom.index('id="asked"') < dom.index('id="accuracy"')
    made = {name: audit for name, audit in AUDITS.items() if not (audit.pairs_only or audit.encoders_only)}
    for name, audit in made.items():
        assert f'<h2 id="{name}">' in dom
        assert audit.title in dom
    assert 'id="course"' in dom
    assert dom.count("<figure") == len(made) + 7  # a band plot for each, and seven pictures


@needs_browser
def test_a_click_on_a_heading_sorts(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "sorted.html"
    click = "<script>document.querySelectorAll('section[aria-labelledby=accuracy] th button')[2].click()</script>"
    page.write_text((run / "report.html").read_text().replace("</body>", f"{click}</body>"))
    dom, _ = render(page, tmp_path / "profile")
    table = dom[dom.index('aria-labelledby="accuracy"') :]
    rows = re.findall(r"<tr><td>.*?</td><td>.*?</td><td>([\d.]+)</td>", table[: table.index("</table>")], re.DOTALL)
    assert len(rows) == 5
    assert [float(r) for r in rows] == sorted(float(r) for r in rows)


def test_the_same_content_is_json_of_the_published_schema(run: Path) -> None:
    schema = json.loads((ROOT / "docs" / "audit.schema.json").read_text())
    validate(json.loads((run / "audit.json").read_text()), schema)


def test_the_published_schema_is_that_of_the_code() -> None:
    words = [sys.executable, "-m", "pipelines.cli.main", "schema"]
    printed = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    assert (ROOT / "docs" / "audit.schema.json").read_text() == printed
