"""Tables, paragraphs and links of a Markdown document, and the figures in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LINK = re.compile(r"\((?:\.\./|\./)*(?:docs/)?(results/[\w.]+\.md)(?:#[^)]*)?\)")
CODE = re.compile(r"`[^`]*`|\]\([^)]*\)")
FIGURE = re.compile(r"(?<![\w.])([-+]?\d[\d,]*(?:\.\d+)?)(?:\s*±\s*(\d[\d,]*(?:\.\d+)?))?(?![\w]|\.\d)")


@dataclass(frozen=True)
class Figure:
    """A number as it is written, and what stands behind its ±."""

    value: str
    spread: str | None = None

    def __str__(self) -> str:
        return self.value if self.spread is None else f"{self.value} ± {self.spread}"

    @property
    def exact(self) -> bool:
        """Whether it has decimals or a spread: a measured figure, and not a count or a number of a class."""
        return "." in self.value or self.spread is not None

    def stands_in(self, others: list[Figure]) -> bool:
        """A document may round, and leave the spread out."""
        return any(
            _rounds_to(o.value, self.value)
            and (self.spread is None or (o.spread is not None and _rounds_to(o.spread, self.spread)))
            for o in others
        )


def _rounds_to(whole: str, short: str) -> bool:
    decimals = len(short.partition(".")[2])
    return abs(_number(whole) - _number(short)) <= 0.5 * 10**-decimals + 1e-9 and decimals <= _decimals(whole)


def _decimals(text: str) -> int:
    return max(len(text.partition(".")[2]), 1)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def figures(text: str) -> list[Figure]:
    """Outside code and links."""
    return [Figure(value, spread or None) for value, spread in FIGURE.findall(CODE.sub("", text))]


@dataclass
class Block:
    """Lines without an empty one between them: a table, or anything else but code."""

    line: int
    text: list[str]
    heading: str = ""
    links: list[str] = field(default_factory=list)
    """Pages of figures that it names; of a table, those of the paragraph before it."""

    @property
    def is_table(self) -> bool:
        return self.text[0].startswith("|")

    @property
    def cells(self) -> list[list[str]]:
        """Heading and rows of a table, without marks of the best and of ties."""
        lines = [line for line in self.text if not re.fullmatch(r"[|:\- ]+", line)]
        return [[c.strip(" *†‡") for c in line.strip("|").split("|")] for line in lines]


def _plain_blocks(text: str) -> Iterator[tuple[str, Block]]:
    """With the heading that each stands under."""
    heading, block, fenced = "", Block(0, []), False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        mark = line.startswith("```")
        stop = not line or mark or fenced or line.startswith("#")
        if block.text and (stop or line.startswith("|") != block.is_table):
            yield heading, block
            block = Block(number, [])
        fenced ^= mark
        if line.startswith("#") and not fenced:
            heading = line
        elif not stop:
            block = block if block.text else Block(number, [])
            block.text.append(line)


def blocks(path: Path) -> Iterator[Block]:
    """In order. A table after a single paragraph that names no page is of the page of the table before it."""
    section, before, last, between = "", list[str](), list[str](), 0
    for heading, block in _plain_blocks(path.read_text()):
        block.heading = heading
        if heading != section:
            section, before, last, between = heading, [], [], 0
        if block.is_table:
            block.links = before or (last if between <= 1 else [])
            before, last, between = [], block.links, 0
        else:
            block.links = before = LINK.findall(" ".join(block.text))
            between += 1
        yield block


def lines_of(page: Path) -> list[list[Figure]]:
    """Figures of every label, over all tables of the page, and of every column: those of one thing stand together."""
    rows, columns = dict[str, list[Figure]](), list[list[Figure]]()
    for block in blocks(page):
        if block.is_table:
            heading, *body = block.cells
            for row in body:
                rows.setdefault(row[0], []).extend(figures(" | ".join(row)))
            columns += [[f for row in body if i < len(row) for f in figures(row[i])] for i in range(len(heading))]
    return [*rows.values(), *columns]


def unfounded(document: Path, pages: Path) -> list[tuple[str, str]]:
    """(label of the row or first words of the paragraph, figure) of all that does not stand in the pages of ``pages``
    that the document names: rows as a whole in one row (or column) there, measured figures of a paragraph that names a
    page, or stands below such a table in its section, anywhere in it."""
    found, last, section = list[tuple[str, str]](), list[str](), ""
    for block in blocks(document):
        if block.heading != section:
            section, last = block.heading, []
        if block.is_table:
            there = [line for link in block.links for line in lines_of(pages / link)]
            for label, *cells in block.cells[1:] if there else ():
                wanted = figures(" | ".join(cells))
                missing = min(([f for f in wanted if not f.stands_in(line)] for line in there), key=len)
                found += [(label, str(f)) for f in missing]
        else:
            named = block.links or last
            told = [f for link in named for f in figures((pages / link).read_text())]
            words = " ".join(block.text[0].split()[:4])
            found += [
                (words, str(f)) for f in figures(" ".join(block.text)) if named and f.exact and not f.stands_in(told)
            ]
        last = block.links or last
    return found
