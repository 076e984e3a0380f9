"""The report in a real browser: no console error, every section, tables that sort."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cu_core.audit.table import AUDITS
from cu_core.config import RunConfig
from pipelines.job import run_job
from tests.conftest import small

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = "--disable-background-networking --disable-component-update --disable-sync --disable-quic --no-first-run"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def folder(digits: Path, storage: Path) -> Path:
    config: RunConfig = small(
        digits, storage, name="page", audit={"oracles": 3, "rebound_steps": 3, "relearn_steps": 4}
    )
    return run_job(config, local=True).folder.path


def render(page: Path, profile: Path) -> tuple[str, list[str]]:
    """(the page's DOM after its scripts ran, console messages)."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", *QUIET.split(), "--enable-logging=stderr", "--dump-dom"]
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *options, f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
def test_the_page_has_every_section_and_no_console_message(folder: Path, tmp_path: Path) -> None:
    dom, messages = render(folder / "report.html", tmp_path / "profile")
    assert messages == []
    for name, audit in AUDITS.items():
        assert f'<h2 id="{name}">' in dom
        assert audit.title in dom
    assert dom.index('aria-label="Verdict"') < dom.index('id="asked"') < dom.index('id="accuracy"')
    assert dom.count("<svg") >= len(AUDITS)
    assert not re.search(r'(?:src|href)="(?!#)', dom)  # nothing is fetched


@needs_browser
def test_a_click_on_a_heading_sorts(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "sorted.html"
    click = "<script>document.querySelectorAll('section[aria-labelledby=accuracy] th button')[2].click()</script>"
    page.write_text((folder / "report.html").read_text().replace("</body>", f"{click}</body>"))
    dom, _ = render(page, tmp_path / "profile")
    table = dom[dom.index('aria-labelledby="accuracy"') :]
    rows = re.findall(r"<tr><td>.*?</td><td>.*?</td><td>([\d.]+)</td>", table[: table.index("</table>")], re.DOTALL)
    assert len(rows) == 5
    assert [float(r) for r in rows] == sorted(float(r) for r in rows)


def test_the_same_content_is_json_of_the_published_schema(folder: Path) -> None:
    from jsonschema import validate

    schema = json.loads((Path(__file__).parents[2] / "docs" / "audit.schema.json").read_text())
    validate(json.loads((folder / "audit.json").read_text()), schema)


def test_the_published_schema_is_that_of_the_code() -> None:
    words = [sys.executable, "-m", "pipelines.cli", "audit", "--schema"]
    printed = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    assert (Path(__file__).parents[2] / "docs" / "audit.schema.json").read_text() == printed
