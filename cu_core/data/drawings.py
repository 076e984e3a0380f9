"""Drawings as image files: SVG becomes PNG, and what is transparent becomes white."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import ParseError

from PIL import Image

from cu_core.data.images import PILLOW_ERRORS, open_image
from cu_core.data.shard_writer import Chunk
from cu_core.data.sources import Source, SourceOptions
from cu_core.errors import DataError, listed
from cu_core.messages import reason_of

SVG_SIDE = 128
"""Longer side in pixels to which an SVG file is drawn."""
MOST_ELEMENTS = 50_000
"""Elements that an SVG file may draw. One that is drawn again by a reference counts again."""
SVG_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError, RecursionError, TypeError,
    UnicodeError, ValueError,
)  # fmt: skip
"""What CairoSVG raises on damaged files: it promises no class. Around its one call only."""
_REFERENCE = re.compile(r"#([^\s)\"';]+)")
_LENGTH = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*[a-z]*\s*", re.IGNORECASE)


def drawn(source: Source, options: SourceOptions) -> Source:
    """Return a source of drawings as one of image files that look as they do on white paper.

    Args:
        source: Source of image files, some of them SVG.
        options: Gives the largest number of pixels. With ``skip_bad``, files that cannot be drawn stay as they are, and
            the check of images leaves them out.

    Returns:
        The source. Reading it raises ``DataError`` if SVG files cannot be drawn. Each is drawn once. Files of other
        formats that do not decode stay as they are: the check of images names them.
    """
    kept: dict[bytes, bytes] = {}

    def picture(data: bytes) -> bytes:
        if not is_svg(data):
            return on_white(data, options.max_pixels)
        name = hashlib.sha256(data).digest()
        if name not in kept:
            kept[name] = svg_to_png(data)
        return kept[name]

    def read() -> Iterator[Chunk]:
        for chunk in source.read():
            assert isinstance(chunk.images, list)
            images, bad = list(chunk.images), []
            for row, data in enumerate(chunk.images):
                try:
                    images[row] = picture(data)
                except DataError as error:
                    bad.append(f"{chunk.extra['file'][row] if chunk.extra else row}: {error}")
            if bad and not options.skip_bad:
                raise DataError(
                    f"{source.name}: SVG files that cannot be drawn, {listed(bad)} Nothing was written. Mend or remove "
                    f"them, or leave them out with --skip-bad."
                )
            yield replace(chunk, images=images)

    return replace(source, read=read)


def is_svg(data: bytes) -> bool:
    """Return whether a file is SVG by its first bytes."""
    return data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<svg", b"<?xml", b"<!DOCTYPE svg", b"<!--"))


def on_white(data: bytes, max_pixels: int) -> bytes:
    """Return an image file with white where it is transparent; one without transparency, or damaged, as it is."""
    try:
        image = open_image(data, max_pixels)
        if not image.has_transparency_data:
            return data
        colours = image.convert("RGBA")
        paper = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    except (DataError, *PILLOW_ERRORS):
        return data
    buffer = io.BytesIO()
    paper.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def svg_to_png(data: bytes) -> bytes:
    """Draw an SVG file on white, its longer side ``SVG_SIDE`` pixels. Nothing outside of the file is read.

    Raises:
        DataError: It is no SVG, has no size, draws too much, or CairoSVG is not installed.
    """
    try:
        import cairosvg
    except (ImportError, OSError) as error:  # OSError: the library cairo is missing
        raise DataError(
            f"SVG files are drawn by CairoSVG: pip install cairosvg, and the system's cairo (Debian: libcairo2); "
            f"{reason_of(error)}"
        ) from error
    from defusedxml import DefusedXmlException, ElementTree

    try:
        root = ElementTree.fromstring(data)
        if (count := _num_drawn(root)) > MOST_ELEMENTS:
            raise DataError(f"it draws more than {MOST_ELEMENTS:,} elements ({count:,})")
        wide = _is_wide(root)
        side = {"output_width": SVG_SIDE} if wide else {"output_height": SVG_SIDE}
        return cairosvg.svg2png(bytestring=data, background_color="white", **side)  # type: ignore[no-any-return]
    except (ParseError, DefusedXmlException, *SVG_ERRORS) as error:
        raise error if isinstance(error, DataError) else DataError(reason_of(error)) from error


def _is_wide(root: Any) -> bool:
    """Return whether the drawing is wider than high.

    Raises:
        DataError: It has no usable size, or one side is over 100 times the other.
    """
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    texts = box[2:4] if len(box) == 4 else [root.get("width", ""), root.get("height", "")]
    found = [match and float(match[1]) for match in map(_LENGTH.fullmatch, texts)]
    width, height = found if len(found) == 2 else (None, None)
    if not width or not height or max(width, height) > 100 * min(width, height):
        raise DataError(f"its size is {' x '.join(texts) or 'not given'}, which cannot be drawn")
    return width >= height


def _num_drawn(root: Any) -> int:
    """Count the elements that are drawn; what an element refers to counts where it stands, as it is drawn there.

    Raises:
        DataError: An element refers to itself, or elements are nested too deep.
    """
    named = {element.get("id"): element for element in root.iter() if element.get("id")}
    counts: dict[int, int | None] = {}

    def count(element: Any, depth: int) -> int:
        known = counts.get(id(element), 0)
        if known is None or depth > 100:
            raise DataError("its elements refer to themselves or are nested more than 100 deep")
        if known:
            return known
        counts[id(element)] = None
        names = {name for value in element.attrib.values() for name in _REFERENCE.findall(value)}
        inside = [*element, *(named[name] for name in names if name in named)]
        counts[id(element)] = total = 1 + sum(count(part, depth + 1) for part in inside)
        return total

    return count(root, 0)
