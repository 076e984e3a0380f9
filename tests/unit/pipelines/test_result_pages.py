"""Pages of comparisons in docs/results are of today's settings: no cell of a former default stands there unnoticed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipelines.compare.config import read_comparison
from pipelines.compare.digests import settings_digest

ROOT = Path(__file__).parents[3]
PAGES = [p for p in sorted((ROOT / "docs" / "results").glob("*.md")) if "cu compare tune_configs/" in p.read_text()]
BEFORE_DIGESTS = {"compare_fashion_mnist_clip.md"}
"""Made before pages recorded digests; to be made again."""


def recorded(text: str) -> dict[str, str]:
    return dict(re.findall(r"^- ([\w .-]+): .*; settings ([0-9a-f]{8})$", text, re.M))


def of_today(text: str) -> dict[str, str]:
    """Of the page's own command."""
    command = re.search(r"^cu compare (.*)$", text, re.M)
    assert command is not None
    file, *words = shlex.split(command[1])
    only = re.search(r"--methods[ =](\S+)", command[1])
    changes = [w for w in words if "=" in w and not w.startswith("--")]
    comparison = read_comparison(ROOT / file, changes, only[1].split(",") if only else None)
    return {label: settings_digest(comparison, label) for label in comparison.config.methods}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_is_of_todays_settings(page: Path) -> None:
    text = page.read_text()
    assert bool(recorded(text)) != (page.name in BEFORE_DIGESTS)
    if recorded(text):
        assert recorded(text) == of_today(text)


def test_a_page_of_a_former_default_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    head = "```\ncu compare tune_configs/compare/digits.yaml --methods finetune,scrub 'seeds=[0, 1]'\n```\n"
    today = of_today(head)
    page = head + "".join(f"- {label}: default settings; no search; settings {d}\n" for label, d in today.items())
    assert recorded(page) == of_today(page) == today
    assert set(today) == {"finetune", "scrub"}
    from cu_core import presets

    monkeypatch.setitem(presets.METHOD_LR["class"], "scrub", 0.5)
    assert recorded(page) != of_today(page)
