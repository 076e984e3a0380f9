from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import patch

import pytest

from cu_core.data.duplicate_table import find_duplicates
from pipelines.report import duplicates_page
from pipelines.report.duplicates_page import write_page
from tests.copies import changed, drawing, drawings, pack_files
from tests.pictures import grey_file


def test_pairs_stand_on_the_page_by_kind_the_most_alike_first(tmp_path: Path) -> None:
    files = {"train": [*drawings(20), *changed(drawing(0)).values()]}
    data = pack_files(tmp_path / "data", files, copy_of=dict.fromkeys(range(20, 25), 0))  # type: ignore[arg-type]
    found = find_duplicates(data)
    write_page(tmp_path / "page.html", data, found, "drawings", 1e-6)
    html = (tmp_path / "page.html").read_text()
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", html) == ["Exact: 1", "Near: 3", "Mirrored: 1"]
    assert html.count('<img src="data:image/png;base64,') == 10
    alike = [float(x) for x in re.findall(r"^likeness (\S+)$", html.split('id="near"')[1].split("<h2")[0], re.M)]
    assert len(alike) == 3
    assert alike == sorted(alike, reverse=True)
    assert "http" not in html
    assert "300 pairs of rows were compared" in html


def test_everything_is_escaped(tmp_path: Path) -> None:
    text = "<script>alert(1)</script>"
    data = pack_files(
        tmp_path / "data", {"train": [*drawings(20), *drawings(1)]}, captions=[text, *"abcdefghijklmnopqrs", text]
    )
    found = find_duplicates(data, captions=True, rate=0.01)
    assert found.count("same caption") == 1
    write_page(tmp_path / "page.html", data, found, text, 0.01)
    html = (tmp_path / "page.html").read_text()
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 4  # title, heading, both captions


def test_a_page_without_copies_says_so(tmp_path: Path) -> None:
    data = pack_files(tmp_path / "data", {"train": drawings(4)})
    write_page(tmp_path / "page.html", data, find_duplicates(data), "drawings", 1e-6)
    assert "No copies were found." in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("most", [1, 3])
def test_a_page_shows_a_bounded_number_of_pairs(tmp_path: Path, most: int) -> None:
    data = pack_files(tmp_path / "data", {"train": [grey_file(9)] * 5})
    with patch.object(duplicates_page, "MOST_SHOWN", most):
        write_page(tmp_path / "page.html", data, find_duplicates(data), "grey", 1e-6)
    html = (tmp_path / "page.html").read_text()
    assert html.count("<img") == 2 * most
    assert f"The {most} most alike are shown." in html
    assert "Exact: 4" in html
    assert "Images of hardly any structure, such as one colour, compared by their pixels alone: 5." in html
