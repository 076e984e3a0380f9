"""Faults beside those of cosmic-ray: a keyword argument or an item left out; a method not called (`.detach()`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from cosmic_ray.operators.operator import Operator

Span = tuple[tuple[int, int], tuple[int, int]]
SAME_ON_A_CPU = {"cpu", "contiguous"}


class DropItem(Operator):  # type: ignore[misc]
    """``f(a, seed=seed)`` to ``f(a)``, ``[seed, step]`` to ``[step]``, ``{"a": 1, "b": 2}`` to ``{"b": 2}``."""

    def mutation_positions(self, node: Any) -> list[Span]:
        return [(node.children[i].start_pos, node.children[j - 1].end_pos) for i, j in _items(node)]

    def mutate(self, node: Any, index: int) -> Any:
        i, j = _items(node)[index]
        if j < len(node.children) and node.children[j] == ",":
            j += 1
        elif node.children[i - 1] == ",":
            i -= 1
        node.children = node.children[:i] + node.children[j:]
        return node

    @classmethod
    def examples(cls) -> Sequence[Any]:
        return ()


def _items(node: Any) -> list[tuple[int, int]]:
    """Ranges of children that can be left out."""
    if node.type == "trailer":
        return [(1, 2)] if _is_keyword(node.children[1]) else []
    if node.type == "arglist":
        return [(i, i + 1) for i, child in enumerate(node.children) if _is_keyword(child)]
    is_display = node.type == "dictorsetmaker" or (node.type == "testlist_comp" and node.parent.children[0] == "[")
    if not is_display or "," not in node.children:
        return []
    commas = [-1, *(i for i, child in enumerate(node.children) if child == ","), len(node.children)]
    return [(i + 1, j) for i, j in pairwise(commas) if i + 1 < j]


def _is_keyword(argument: Any) -> bool:
    return argument.type == "argument" and argument.children[1] == "="


class DropCall(Operator):  # type: ignore[misc]
    """``x.detach()`` to ``x``: any method called without arguments."""

    def mutation_positions(self, node: Any) -> list[Span]:
        return [(node.children[i].start_pos, node.children[i + 1].end_pos) for i in _calls(node)]

    def mutate(self, node: Any, index: int) -> Any:
        i = _calls(node)[index]
        node.children = node.children[:i] + node.children[i + 2 :]
        return node

    @classmethod
    def examples(cls) -> Sequence[Any]:
        return ()


def _calls(node: Any) -> list[int]:
    if node.type not in ("atom_expr", "power"):
        return []
    parts = [part for part in node.children if part.type in ("trailer", "atom", "name")]
    if len(parts) < len(node.children):  # `await`, or a power with its exponent
        return []
    return [
        i
        for i in range(1, len(parts) - 1)
        if parts[i].children[0] == "."
        and parts[i].children[1].value not in SAME_ON_A_CPU
        and parts[i + 1].children[0] == "("
        and len(parts[i + 1].children) == 2
    ]


OPERATORS: dict[str, type[Operator]] = {"DropItem": DropItem, "DropCall": DropCall}
