"""No module imports itself by way of others, imports inside functions counted."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules(root: Path) -> dict[str, Path]:
    """Every module of the two packages by its dotted name."""
    found = {}
    for path in (path for folder in ("cu_core", "pipelines") for path in (root / folder).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(node: ast.AST) -> Iterator[str]:
    """Names that a piece of code imports, at any depth; not those that only type checkers read."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield from (name for alias in node.names for name in (str(node.module), f"{node.module}.{alias.name}"))
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def circle(files: Mapping[str, Path]) -> list[str]:
    """Return the modules of one circle, or none."""
    graph = {name: {*imported(ast.parse(path.read_text()))} & {*files} - {name} for name, path in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle(modules(ROOT)) == []


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ("def f() -> None:\n    from pipelines.b import g\n", ["pipelines.a", "pipelines.b", "pipelines.a"]),
        ("from pipelines import b\n", ["pipelines.a", "pipelines.b", "pipelines.a"]),
        ("if TYPE_CHECKING:\n    from pipelines.b import g\n", []),
    ],
)
def test_a_circle_is_found(first: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "__init__.py").touch()
    (tmp_path / "pipelines" / "a.py").write_text(first)
    (tmp_path / "pipelines" / "b.py").write_text("import pipelines.a\n")
    assert sorted({*circle(modules(tmp_path))}) == sorted({*found})
