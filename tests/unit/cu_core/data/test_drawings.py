from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from cu_core.data.drawings import SVG_SIDE, drawn, is_svg, on_white, svg_to_png
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import DataError
from tests.unit.cu_core.data.drawn_emoji import SVG, picture

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10">'


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_svg_is_drawn_on_white_in_its_shape() -> None:
    found = pixels(svg_to_png(SVG.encode()))
    assert found.shape == (SVG_SIDE, SVG_SIDE, 3)
    assert found[5, 5].tolist() == [255, 0, 0]
    assert found[5, -5].tolist() == [255, 255, 255]
    assert pixels(svg_to_png(SVG.replace("0 0 10 10", "0 0 10 40").encode())).shape == (SVG_SIDE, SVG_SIDE // 4, 3)
    assert pixels(svg_to_png(SVG.replace("0 0 10 10", "0 0 40 10").encode())).shape == (SVG_SIDE // 4, SVG_SIDE, 3)


def test_transparency_becomes_white_and_other_files_stay_as_they_are() -> None:
    half = picture((200, 0, 0, 128))
    assert np.abs(pixels(on_white(half, 100))[0, 0].astype(int) - [227, 127, 127]).max() <= 1
    for kept in (picture((1, 2, 3)), b"damaged", half[:40]):
        assert on_white(kept, 100) is kept
    assert on_white(half, 10) is half  # more pixels than allowed: refused by the check of images


def test_svg_is_known_by_its_beginning() -> None:
    assert all(
        is_svg(start.encode()) for start in ("<svg>", "\ufeff\n<svg", "<?xml version='1.0'?><svg/>", "<!-- a -->")
    )
    assert not any(is_svg(start) for start in (b"", b"\x89PNG", picture((0, 0, 0)), b"<html>"))


@pytest.mark.parametrize(
    ("svg", "message"),
    [
        ("<svg", "unclosed token"),
        ("<html/>", "size"),
        (HEAD.replace("0 0 10 10", "0 0 10000000 1") + "</svg>", "size"),
        (HEAD.replace("0 0 10 10", "0 0 nan 1") + "</svg>", "size"),
        (f'{HEAD}<g id="a"><use xlink:href="#a"/></g></svg>', "themselves"),
        (HEAD + "<g>" * 200 + "</g>" * 200 + "</svg>", "nested"),
        ('<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG, "Entities"),
        (
            HEAD
            + '<rect id="a0" width="1" height="1"/>'
            + "".join(f'<g id="a{n}">' + f'<use xlink:href="#a{n - 1}" x="1"/>' * 4 + "</g>" for n in range(1, 25))
            + "</svg>",
            "more than 50,000 elements",
        ),
    ],
)
def test_svg_that_cannot_be_drawn_is_refused_in_one_line_and_at_once(svg: str, message: str) -> None:
    start = time.perf_counter()
    with pytest.raises(DataError, match=message) as caught:
        svg_to_png(svg.encode())
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 1


def test_nothing_outside_of_an_svg_file_is_read(tmp_path: object) -> None:
    """An image beside it that it names is not drawn: the page stays white."""
    Image.new("RGB", (10, 10), "black").save(f"{tmp_path}/a.png")
    svg = f'{HEAD}<image xlink:href="file://{tmp_path}/a.png" width="10" height="10"/></svg>'
    assert pixels(svg_to_png(svg.encode())).min() == 255


def source(*images: bytes) -> Source:
    chunk = Chunk("train", list(images), np.zeros(len(images), np.int64), np.arange(len(images)))
    return Source("here", ("a",), {"train": len(images)}, lambda: iter([chunk]))


def test_a_source_names_the_svg_files_that_it_cannot_draw_or_leaves_them_for_the_check() -> None:
    (chunk,) = drawn(source(SVG.encode(), picture((1, 2, 3))), SourceOptions()).read()
    assert [data[:4] for data in chunk.images] == [b"\x89PNG", b"\x89PNG"]
    with pytest.raises(DataError, match="here: SVG files that cannot be drawn, 1 in all: 1: "):
        next(drawn(source(SVG.encode(), b"<svg"), SourceOptions()).read())
    (chunk,) = drawn(source(b"<svg"), SourceOptions(skip_bad=True)).read()
    assert chunk.images == [b"<svg"]
