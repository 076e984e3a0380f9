"""Packages of npm with a few drawn emoji, and stamps, as tests write them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="5" height="10" fill="red"/></svg>'
CODES = ("1F436", "1F431", "2764-FE0F")
NAMES = {
    "en": [("dog face", ["dog", "pet"]), ("cat face", ["cat", "pet"]), ("red heart", ["love"])],
    "de": [("Hundegesicht", ["Hund"]), ("Katzengesicht", ["Katze"]), ("rotes Herz", [])],
}


def picture(colour: tuple[int, ...], size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def written(path: Path, content: str | bytes | Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content if isinstance(content, bytes) else content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return path


def emoji_packages(
    root: Path, codes: Sequence[str] = CODES, names: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = NAMES
) -> Path:
    """Two styles of pictures, one of SVG, and names in two languages."""
    entries = [
        {"unified": code, "image": f"{code.lower()}.png", "category": "all", "subcategory": f"group {number % 2}"}
        for number, code in enumerate(codes)
    ]
    for style in ("google", "twitter"):
        package = root / f"emoji-datasource-{style}"
        written(package / "emoji.json", entries)
        for number, code in enumerate(codes):
            shade = (50 + number, 0, 0, 0) if style == "google" else (50 + number, 0, 0)
            written(package / "img" / style / "64" / f"{code.lower()}.png", picture(shade))
    for number, code in enumerate(codes):
        svg = SVG.replace("red", f"rgb(200,0,{number})")
        written(root / "openmoji" / "color" / "svg" / f"{code.replace('-FE0F', '')}.svg", svg)
    for language, texts in names.items():
        found = {
            "".join(chr(int(part, 16)) for part in code.replace("-FE0F", "").split("-")): {"tts": [n], "default": k}
            for code, (n, k) in zip(codes, texts, strict=True)
        }
        file = root / "cldr-annotations-full" / "annotations" / language / "annotations.json"
        written(file, {"annotations": {"annotations": found}})
    return root
