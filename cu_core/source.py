"""Digests of source code: a stored result is reused only if the code that makes it is the same."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import Literal

from cu_core.errors import UserError

Product = Literal["trained", "unlearned", "figures", "report"]


@dataclass(frozen=True)
class Code:
    """The modules that compute something: those that ``entry`` imports, directly or not, from the same package."""

    entry: str
    without: tuple[str, ...] = ()
    """Modules that are not followed, beside ``ELSEWHERE``."""


CODE: Mapping[Product, Code] = {
    "trained": Code("cu_core.run", ("cu_core.unlearn.stopping",)),  # no stop rule ends a training
    "unlearned": Code("cu_core.run"),
    "figures": Code(
        "cu_core.evidence",
        ("cu_core.unlearn.stopping", "cu_core.audit.verdict", "cu_core.audit.oracle_gap", "cu_core.audit.proxy"),
    ),
    "report": Code("cu_core.run_audit", ("cu_core.unlearn.stopping",)),
}
"""``figures``: what one model alone shows; ``report``: that, compared with other models."""

ELSEWHERE: Mapping[str, str] = {
    "cu_core": "its version is recorded",
    "cu_core.config": "its values are in the keys",
    "cu_core.config_io": "its values are in the keys",
    "cu_core.methods.table": "a result depends on the module of its own method",
    "cu_core.data.requests": "the rows of a request are in the keys",
    "cu_core.data.checked": "the digest of the data is in the keys",
    "cu_core.environment": "it is recorded",
    "cu_core.files": "it says where things lie",
    "cu_core.storage": "it says where things lie",
    "cu_core.traffic": "it counts",
    "cu_core.unlearn.clock": "it counts",
    "cu_core.unlearn.trace": "it counts",
}
"""Modules whose source changes no result, and why; what only they import counts as little."""


@functools.cache
def source_digest(product: Product, *more: str) -> str:
    """Compute the digest of the modules that make a product; comments, docstrings and layout do not count.

    Args:
        product: What is made.
        *more: Further modules that are included, with what they import.

    Returns:
        16 hex digits.
    """
    code = CODE[product]
    return _digest((code.entry, *more), frozenset({*ELSEWHERE, *code.without}))


@functools.cache
def own_source_digest(module: str) -> str:
    """Compute the digest of a user's module and of what it imports from its own package.

    For an installed package it is the digest of the module alone.

    Raises:
        UserError: There is no such module.
    """
    found = _spec(module)
    if found is None:
        raise UserError(f"model.name: no module {module}.")
    if "-packages/" in str(found.origin):
        return _module(module)[0]
    return _digest((module,), frozenset())


def modules_of(entries: tuple[str, ...], without: frozenset[str]) -> dict[str, str]:
    """Compute the digest of every module that is reached from ``entries``.

    Args:
        entries: Names of modules. Imports from the package of the first one are followed.
        without: Modules that are not followed.

    Returns:
        Name -> digest.
    """
    package = entries[0].partition(".")[0]
    found: dict[str, str] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        inside = name in entries or name.partition(".")[0] == package
        if not inside or name in found or name in without or _spec(name) is None:
            continue
        found[name], imported = _module(name)
        waiting += [*imported, name.rpartition(".")[0]]
    return found


def _digest(entries: tuple[str, ...], without: frozenset[str]) -> str:
    return hashlib.sha256(repr(sorted(modules_of(entries, without).items())).encode()).hexdigest()[:16]


@functools.cache
def _spec(name: str) -> ModuleSpec | None:
    """Return the spec of a module or package, or ``None`` for any other name; only packages around it are imported."""
    parent = name.rpartition(".")[0]
    if parent and ((around := _spec(parent)) is None or around.submodule_search_locations is None):
        return None
    return importlib.util.find_spec(name)


@functools.cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """Return (digest, names that the module imports; some are not modules)."""
    spec = _spec(name)
    assert spec is not None
    source = spec.loader.get_source(name) if hasattr(spec.loader, "get_source") else None  # type: ignore[union-attr]
    tree = ast.parse(source or "")
    lines: list[str] = []
    _write(tree, lines)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    return digest, tuple(_imports(tree, package))


def _write(node: object, out: list[str]) -> None:
    """Write a syntax tree as lines that are the same in every version of Python."""
    if isinstance(node, ast.AST):
        out.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if name != "ctx" and value is not None and value != []:
                out.append(name)
                _write(value, out)
        out.append(";")
    elif isinstance(node, list):
        for value in node:
            if not _is_text(value):
                _write(value, out)
        out.append("]")
    else:
        out.append(repr(node))


def _is_text(node: object) -> bool:
    """Return whether a node is a docstring of a module, class, function or attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name(f"{'.' * node.level}{node.module or ''}", package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
