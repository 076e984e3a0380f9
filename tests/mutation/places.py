"""Where a fault can be put, and a sample of such places that a seed determines."""

from __future__ import annotations

import ast
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_item import MutationSpec

from tests.mutation.operators import OPERATORS

NO_PLACE = {"name", "string", "newline", "endmarker"}  # nodes that no operator changes: most, and each is asked by 140
MARKS = {"(", ")", "[", "]", "{", "}", ",", ".", ":", "=", "->"}
SCOPE = ("losses", "methods", "metrics", "audit", "unlearn", "data", "config.py", "config_io.py", "checkpoint.py")
UNSEEN = {"strict", "device", "map_location", "non_blocking", "pin_memory"}  # on a CPU, in a program without a fault
TEXTS = ("explain.py", "explain_strong.py", "explanation.py")
# Left out: faults that any import or call would see (no decorator, bits of floats, an order in place of identity), and
# `is` in place of `==`, which say the same of None and of small numbers. ExceptionReplacer stops at names with a dot.
LEFT_OUT = re.compile(
    r".*/(RemoveDecorator|ExceptionReplacer|ReplaceUnaryOperator_(USub_(Invert|Not)|Invert_\w+)"
    r"|ReplaceComparisonOperator_((?!Is)[^_]+_Is(Not)?|Is(Not)?_(?!Is)\w+)"
    r"|ReplaceBinaryOperator_((Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(RShift|LShift|Bit\w+)"
    r"|(RShift|LShift|Bit[^_]+)_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)))"
)

cosmic_ray.plugins.OPERATOR_PROVIDERS["cu"] = OPERATORS


def source_files(root: Path) -> list[Path]:
    """Paths relative to ``root``."""
    places = [root / "cu_core" / name for name in SCOPE]
    files = [file for place in places for file in ([place] if place.suffix else sorted(place.glob("*.py")))]
    return [file.relative_to(root) for file in files if file.name not in TEXTS]


def mutated(root: Path, mutant: MutationSpec) -> str:
    operator = cosmic_ray.plugins.get_operator(mutant.operator_name)()
    code: str = mutate_code((root / mutant.module_path).read_text(), operator, mutant.occurrence)
    return code


def sample(root: Path, files: Iterable[Path], seed: int, count: int) -> list[MutationSpec]:
    """One mutant at each of ``count`` places; a smaller sample of a seed is the start of a larger one."""
    places: dict[tuple[str, int, int], list[MutationSpec]] = defaultdict(list)
    for file in files:
        for mutant in _mutants(root, file):
            places[(str(file), *mutant.start_pos)].append(mutant)
    order = random.Random(seed)
    shuffled = order.sample(sorted(places), len(places))
    chosen = (order.choice(places[place]) for place in shuffled)
    usable = (mutant for mutant in chosen if _differs(root, mutant))
    return [mutant for mutant, _ in zip(usable, range(count), strict=False)]


def _mutants(root: Path, file: Path) -> Iterator[MutationSpec]:
    code = (root / file).read_text()
    hidden, bodies = _hidden(ast.parse(code)), functions(code)
    names = [name for name in cosmic_ray.plugins.operator_names() if not LEFT_OUT.fullmatch(name)]
    kinds = {name: cosmic_ray.plugins.get_operator(name) for name in names}
    operators = {name: kind() for name, kind in kinds.items() if not kind.arguments()}  # those have variables' names
    seen = dict.fromkeys(operators, 0)
    nodes = (node for node in ast_nodes(get_ast(code)) if node.type not in NO_PLACE)
    for node in (node for node in nodes if getattr(node, "value", "") not in MARKS):
        for name, operator in operators.items():
            for start, end in operator.mutation_positions(node):
                if not any(first <= start < last for first, last in hidden):
                    where = definition(bodies, start[0])
                    yield MutationSpec(file, name, seen[name], start, end, definition_name=where)
                seen[name] += 1


def _hidden(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Spans that no test needs to see: annotations, decorators, signatures but for defaults, texts of messages."""
    spans = []
    for node in ast.walk(tree):
        hidden: list[ast.expr] = []
        if isinstance(node, ast.FunctionDef):
            defaults = [d for d in [*node.args.defaults, *node.args.kw_defaults] if d]
            cuts = [(node.lineno, node.col_offset), *(cut for d in sorted(defaults, key=_start) for cut in _span(d))]
            cuts.append(_start(node.body[0]))
            spans += list(zip(cuts[::2], cuts[1::2], strict=True))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            hidden += node.decorator_list
        if isinstance(node, ast.AnnAssign):
            hidden.append(node.annotation)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            hidden += node.exc.args
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            spans.append((_start(node), _start(node.body[0])))
        if isinstance(node, ast.Assert) and node.msg:
            hidden.append(node.msg)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("log.", "logger.", "warnings.")):
            hidden += node.args
        if isinstance(node, ast.keyword) and node.arg in UNSEEN:
            spans.append(((node.lineno, node.col_offset), _span(node.value)[1]))
        spans += [_span(part) for part in hidden]
    return spans


def _start(node: ast.expr | ast.stmt) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _span(node: ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
    return _start(node), (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


def functions(code: str) -> list[tuple[int, int, str]]:
    """First and last line of every function's body, and its qualified name; outer ones first."""

    def inside(node: ast.AST, prefix: str) -> Iterator[tuple[int, int, str]]:
        for child in ast.iter_child_nodes(node):
            name = f"{prefix}{child.name}." if isinstance(child, ast.FunctionDef | ast.ClassDef) else prefix
            if isinstance(child, ast.FunctionDef):
                yield child.body[0].lineno, child.end_lineno or child.lineno, name[:-1]
            yield from inside(child, name)

    return list(inside(ast.parse(code), ""))


def definition(bodies: list[tuple[int, int, str]], line: int) -> str:
    """Name of the innermost function whose body holds the line; empty outside of functions."""
    return next((name for first, last, name in reversed(bodies) if first <= line <= last), "")


def _differs(root: Path, mutant: MutationSpec) -> bool:
    """Whether the fault is Python, and another program."""
    try:
        have = ast.parse(mutated(root, mutant))
    except SyntaxError:
        return False
    return ast.dump(have) != ast.dump(ast.parse((root / mutant.module_path).read_text()))
