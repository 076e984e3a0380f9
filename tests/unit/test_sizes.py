"""Sizes that the code keeps: lines of a file, lines of a function without its docstring, parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(p.relative_to(ROOT) for folder in ("cu_core", "pipelines") for p in (ROOT / folder).rglob("*.py"))
LINES, FUNCTION, PARAMETERS = 350, 40, 7


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef, command_line: bool) -> int:
    """Lines from ``def`` to the end, without the docstring; of a command, without its options too."""
    first = function.body[0]
    begin = first.lineno if command_line else function.lineno
    total = (function.end_lineno or begin) - begin + 1
    if ast.get_docstring(function, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([a for a in named if a.arg not in ("self", "cls")])


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_and_functions_stay_small(file: Path) -> None:
    text = (ROOT / file).read_text()
    assert len(text.splitlines()) <= LINES
    command_line = file.is_relative_to("pipelines/cli")  # the options of a command are its parameters
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert command_line or parameters(node) <= PARAMETERS, node.name
            assert lines(node, command_line) <= FUNCTION, node.name


def test_files_of_tests_stay_small() -> None:
    assert not [file for file in (ROOT / "tests").rglob("*.py") if len(file.read_text().splitlines()) > LINES]
