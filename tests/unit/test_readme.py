"""Figures of the documentation are those of the pages of results it names; its table of files is their first lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.unit.documents import Figure, blocks, figures, unfounded

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FOLDERS = ("docs", "docs/guides", "docs/concepts")
DOCUMENTS = [README, *(page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md")))]
KNOWN: dict[str, set[tuple[str, str]]] = {
    "audit.md": {("Pools that were trained", "0.03")},
}
"""Figures that their page does not hold, to be mended, by row or paragraph: figures that are of other runs than
those of the page."""


def rows() -> list[str]:
    """A line per source file: its path and the first sentence of its docstring."""
    found = []
    for folder in ("cu_core", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            doc = ast.get_docstring(ast.parse(path.read_text()))
            if doc:
                found.append(f"| `{path.relative_to(ROOT)}` | {doc.splitlines()[0].replace('|', '&#124;')} |")
    return found


def test_every_file_has_its_line() -> None:
    page = (ROOT / "docs" / "reference" / "files.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows()


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 10_000


def test_every_folder_of_the_site_is_checked() -> None:
    names = {str(page.relative_to(ROOT)) for page in DOCUMENTS}
    assert {"README.md", "docs/index.md", "docs/guides/audit.md", "docs/concepts/loss.md"} <= names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_figures_stand_in_the_page_of_results_that_is_named(document: Path) -> None:
    assert set(unfounded(document, ROOT / "docs")) == KNOWN.get(document.name, set())


def test_most_tables_of_figures_name_their_page() -> None:
    named = {page: [block for block in blocks(page) if block.is_table and block.links] for page in DOCUMENTS}
    assert named[README]
    assert sum(map(len, named.values())) >= 11
    for tables in named.values():
        for table in tables:
            for link in table.links:
                assert (ROOT / "docs" / link).is_file()


PAGE = """# Result

| method | gap | forget |
|---|---|---|
| contrastive | **0.96 ± 0.25** | +0.0 ± 0.0 † |
| scrub | 1.52 ± 0.63 † | +12.46 ± 0.10 |

| figure | mine | theirs |
|---|---|---|
| AUC | 0.655 | 0.500 |
| KLoM | 3.004 | 2.667 |
"""
DOCUMENT = """## Results

Of ten classes, gap {gap} ([table](docs/results/page.md)):

| who | gap | forget |
|---|---|---|
| ours | {ours} | 0.0 |
| SCRUB | {scrub} | +12.5 |

And by attack:

| who | AUC | KLoM |
|---|---|---|
| mine | {auc} | 3.00 |

The best has {after}, 3 of 4.

So there are {further} left.
"""
RIGHT = {"gap": "0.96 ± 0.25", "ours": "0.96", "scrub": "1.52 ± 0.63", "auc": "0.66", "after": "1.5", "further": "1.52"}


@pytest.mark.parametrize(
    ("wrong", "missing"),
    [
        ({}, []),
        ({"gap": "0.97"}, [("Of ten classes, gap", "0.97")]),
        ({"gap": "0.96 ± 0.26"}, [("Of ten classes, gap", "0.96 ± 0.26")]),
        ({"ours": "1.52"}, [("ours", "1.52")]),  # a figure of another row
        ({"scrub": "1.52 ± 0.64"}, [("SCRUB", "1.52 ± 0.64")]),
        ({"auc": "0.50"}, [("mine", "3.00")]),  # of another column
        ({"after": "1.6"}, [("The best has 1.6,", "1.6")]),
        ({"further": "1.53"}, [("So there are 1.53", "1.53")]),  # below the table, in its section
    ],
)
def test_a_figure_that_its_page_does_not_hold_is_found(
    wrong: dict[str, str], missing: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "page.md").write_text(PAGE)
    (tmp_path / "README.md").write_text(DOCUMENT.format(**{**RIGHT, **wrong}))
    assert unfounded(tmp_path / "README.md", tmp_path) == missing


def test_figures_are_read_with_sign_and_spread_and_not_out_of_code() -> None:
    text = "gap 0.96 ± 0.25, -1,234.5 and +7 of `seed=3` at [x](docs/results/a_2.md), resnet10, 95%"
    assert figures(text) == [Figure("0.96", "0.25"), Figure("-1,234.5"), Figure("+7"), Figure("95")]
    assert Figure("0.5").stands_in([Figure("0.52")])
    assert not Figure("0.5").stands_in([Figure("0.56")])
    assert not Figure("-0.5").stands_in([Figure("0.5")])
