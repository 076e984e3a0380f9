"""Column expressions such as ``user_id == 17 and source != "licensed"``, translated to Arrow, never evaluated."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from cu_core.errors import UserError

COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "__eq__",
    ast.NotEq: "__ne__",
    ast.Lt: "__lt__",
    ast.LtE: "__le__",
    ast.Gt: "__gt__",
    ast.GtE: "__ge__",
}
HOW = "write comparisons of columns with values joined by and, or, not, e.g. user_id == 17 and source != 'web'"


def parse_predicate(text: str, columns: Sequence[str]) -> pc.Expression:
    """Translate an expression to Arrow.

    Allowed are comparisons (also chained, and ``in [..]``), ``and``, ``or`` and ``not``.

    Args:
        text: The expression.
        columns: Names of the columns.

    Returns:
        The Arrow expression.

    Raises:
        UserError: A part is not understood or a column does not exist; the message names it.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise UserError(f"predicate {text!r} does not parse: {error.msg}; {HOW}.") from error
    return _translate(tree.body, text, columns)


def _translate(node: ast.expr, text: str, columns: Sequence[str]) -> Any:
    match node:
        case ast.BoolOp(op=op, values=values):
            parts = [_translate(v, text, columns) for v in values]
            joined = parts[0]
            for part in parts[1:]:
                joined = joined & part if isinstance(op, ast.And) else joined | part
            return joined
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_translate(operand, text, columns)
        case ast.Compare(left=left, ops=ops, comparators=rights):
            result = None
            for comparison, right in zip(ops, rights, strict=True):
                part = _compare(left, comparison, right, text, columns)
                result = part if result is None else result & part
                left = right
            return result
    raise UserError(f"predicate {text!r}: {ast.unparse(node)!r} is not understood; {HOW}.")


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str, columns: Sequence[str]) -> Any:
    value = _operand(left, text, columns)
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise UserError(f"predicate {text!r}: `in` needs a list, e.g. source in ['web', 'mail'].")
        inside = value.isin([ast.literal_eval(item) for item in right.elts])
        return inside if isinstance(op, ast.In) else ~inside
    if type(op) not in COMPARE:
        raise UserError(f"predicate {text!r}: this comparison is not understood; {HOW}.")
    return getattr(value, COMPARE[type(op)])(_operand(right, text, columns))


def _operand(node: ast.expr, text: str, columns: Sequence[str]) -> Any:
    match node:
        case ast.Name(id=name):
            if name not in columns:
                raise UserError(f"predicate {text!r}: no column {name!r}; columns: {', '.join(columns)}.")
            return pc.field(name)
        case ast.Constant(value=value):
            return pc.scalar(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return pc.scalar(-value)
    raise UserError(f"predicate {text!r}: {ast.unparse(node)!r} is not a column or a value; {HOW}.")
