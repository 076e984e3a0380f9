"""Column expressions such as ``user_id == 17 and source != "licensed"``, translated to Arrow, never evaluated."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cu_core.data.column_values import bare_type, to_scalar
from cu_core.errors import UserError
from cu_core.messages import shown_value

COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "__eq__",
    ast.NotEq: "__ne__",
    ast.Lt: "__lt__",
    ast.LtE: "__le__",
    ast.Gt: "__gt__",
    ast.GtE: "__ge__",
}
HOW = "write comparisons of columns with values joined by and, or, not, e.g. user_id == 17 and source != 'web'"
LONGEST = 10_000
"""Most characters of an expression."""
DEEPEST = 50
"""Most levels of nesting."""
TOKEN = re.compile(
    r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`([^`]*)`|[@~]|\d[\w.]*|\bnot\s+like\b|[^\W\d]\w*""", re.IGNORECASE
)
NUMBER = re.compile(r"\d+\.?\d*(?:[eE]\d*)?")
WORDS = {"like": "@", "null": "None", "none": "None", "true": "True", "false": "False"} | {
    word: word for word in ("and", "or", "not", "in", "is")
}
"""Words of the language, in any case, as Python has them; ``@`` is no operator that a user may write."""


@dataclass(frozen=True)
class Predicate:
    """A translated expression."""

    expression: pc.Expression
    compared: tuple[str, ...]
    """Columns that are compared with a value: a row without a value in one of them is not matched by it."""
    undecided: pc.Expression
    """Holds for the rows of which nothing can be said, as they have no value there."""


def parse_predicate(text: str, schema: pa.Schema) -> Predicate:
    """Translate an expression to Arrow.

    Allowed are comparisons (also chained, ``in [..]``, ``like 'a%'``, ``is null``, ``is not null``), boolean columns,
    ``and``, ``or`` and ``not``. Column names that are no plain words stand in backticks.

    Args:
        text: The expression.
        schema: The columns that it may use.

    Returns:
        The Arrow expression and the columns that it compares.

    Raises:
        UserError: A part is not understood, a column does not exist, or a value does not fit its column; the message
            names it.
    """
    if len(text) > LONGEST:
        raise UserError(f"predicate {shown_value(text)} has {len(text)} characters; it may have {LONGEST}.")
    translator = _Translator(text, schema)
    python = translator.python()
    try:
        tree = ast.parse(python, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last three: nested deep, surrogates
        reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deep or holds odd characters"
        raise translator.error(
            f"does not parse: {reason[:100]}; {HOW} (columns of other names in backticks)"
        ) from error
    plain = translator.condition(tree.body, 0)
    compared = tuple(dict.fromkeys(translator.compared))
    if not any(translator.may_be_nan(name) for name in compared):
        return Predicate(plain, compared, plain.is_null())
    guarded = replace(translator, guard=True, compared=[]).condition(tree.body, 0)
    # Where the guarded one holds, the plain one does too; it is kept since Arrow skips shards by it.
    return Predicate(plain & guarded, compared, guarded.is_null())


@dataclass
class _Translator:
    text: str
    schema: pa.Schema
    quoted: list[str] = field(default_factory=list)
    """Columns in backticks, in their order; Python sees ``_column_0_``."""
    compared: list[str] = field(default_factory=list)
    guard: bool = False
    """Whether a comparison with NaN says neither true nor false, as with null."""

    def error(self, what: str) -> UserError:
        return UserError(f"predicate {shown_value(self.text)}: {what}.")

    def python(self) -> str:
        """The text as Python parses it: columns in backticks and words of the language replaced."""
        ends = [match.span() for match in TOKEN.finditer(self.text) if match[0][0] in "'\""]
        if any(before[1] == after[0] for before, after in zip(ends, ends[1:], strict=False)):
            raise self.error('two texts stand side by side; write "it\'s" for a text with an apostrophe')
        return " ".join(TOKEN.sub(self._replaced, self.text).split("\n")).strip()

    def _replaced(self, match: re.Match[str]) -> str:
        token = match[0]
        if token[0] == "`":
            self.quoted.append(match[1])
            return f" _column_{len(self.quoted) - 1}_ "
        if token in "@~":
            raise self.error(f"{token} is not understood; {HOW}")
        if token[0].isdigit() and not NUMBER.fullmatch(token):
            raise self.error(f"{shown_value(token)} is no number in decimal digits")
        if token[0] in "'\"" or token[0].isdigit():
            return token
        words = token.lower().split()
        return "@ ~" if words == ["not", "like"] else WORDS.get(words[0], token)

    def shown(self, node: ast.expr) -> str:
        """A part of the expression, for a message."""
        try:
            return shown_value(ast.unparse(node).replace("@ ~", "not like ").replace("@", "like"))
        except RecursionError:
            return "a part"

    def condition(self, node: ast.expr, depth: int) -> Any:
        """Translate what is true or false of a row."""
        if depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} levels of nesting")
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self.condition(v, depth + 1) for v in values]
                return _joined(parts, (lambda a, b: a & b) if isinstance(op, ast.And) else (lambda a, b: a | b))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.condition(operand, depth + 1)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                lefts = [left, *rights[:-1]]
                parts = [self._compare(*part) for part in zip(lefts, ops, rights, strict=True)]
                return _joined(parts, lambda a, b: a & b)
            case ast.BinOp(op=ast.MatMult(), left=left, right=ast.UnaryOp(op=ast.Invert(), operand=pattern)):
                return ~self._like(left, pattern)
            case ast.BinOp(op=ast.MatMult(), left=left, right=pattern):
                return self._like(left, pattern)
            case ast.Name():
                name = self._column(node)
                if not pa.types.is_boolean(self._type(name)):
                    raise self.error(f"column {name!r} holds {self._type(name)}, not true and false; compare it")
                self.compared.append(name)
                return self._field(name)
        raise self.error(f"{self.shown(node)} is not understood; {HOW}")

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, ast.Is | ast.IsNot):
            return self._null(left, op, right)
        if isinstance(op, ast.In | ast.NotIn):
            return self._in(left, op, right)
        names = [self._column(side) if isinstance(side, ast.Name) else None for side in (left, right)]
        if names == [None, None]:
            return getattr(self._number(left), COMPARE[type(op)])(self._number(right))
        first, second = (
            self._scalar(side, other) if name is None else self._field(name)
            for side, name, other in ((left, names[0], names[1]), (right, names[1], names[0]))
        )
        self.compared += [name for name in names if name is not None]
        return self._guarded(getattr(first, COMPARE[type(op)])(second), names)

    def _guarded(self, condition: Any, names: Sequence[str | None]) -> Any:
        """Return a condition that is null where one of the columns is NaN."""
        for name in names if self.guard else ():
            if name is not None and self.may_be_nan(name):
                condition = pc.if_else(pc.is_nan(self._field(name)), pa.scalar(None, pa.bool_()), condition)
        return condition

    def may_be_nan(self, name: str) -> bool:
        """Return whether a column may hold NaN."""
        return bool(pa.types.is_floating(self._type(name)))

    def _null(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if not isinstance(right, ast.Constant) or right.value is not None:
            raise self.error(f"is {self.shown(right)}: not understood, only is null and is not null are; use ==")
        name = self._column(left)
        if self.may_be_nan(name):
            absent = self._field(name).is_null(nan_is_null=True)
            return absent if isinstance(op, ast.Is) else ~absent
        return self._field(name).is_null() if isinstance(op, ast.Is) else self._field(name).is_valid()

    def _in(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise self.error("`in` needs a list of values, e.g. source in ['web', 'mail']")
        name = self._column(left)
        equal = [self._field(name) == pc.scalar(self._value(item, name)) for item in right.elts]
        self.compared.append(name)
        inside = self._guarded(
            _joined(equal, lambda a, b: a | b), [name]
        )  # not Arrow's is_in, which says false where there is no value
        return inside if isinstance(op, ast.In) else ~inside

    def _like(self, left: ast.expr, pattern: ast.expr) -> Any:
        name = self._column(left)
        if not pa.types.is_string(self._type(name)) and not pa.types.is_large_string(self._type(name)):
            raise self.error(f"like: column {name!r} holds {self._type(name)}, not texts")
        if not isinstance(pattern, ast.Constant) or not isinstance(pattern.value, str):
            raise self.error("like needs a text with % for any letters and _ for one, e.g. source like 'web%'")
        self.compared.append(name)
        return pc.match_like(self._field(name), pattern.value)

    def _column(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Name):
            raise self.error(f"{self.shown(node)} is not a column or a value; {HOW}")
        own = re.fullmatch(r"_column_(\d+)_", node.id)
        name = self.quoted[int(own[1])] if own and int(own[1]) < len(self.quoted) else node.id
        if self.schema.names.count(name) != 1:
            near = difflib.get_close_matches(name[:100], self.schema.names, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            columns = ", ".join(self.schema.names[:20]) + (", ..." if len(self.schema.names) > 20 else "")
            raise self.error(f"no column {shown_value(name)}; {hint}columns: {columns[:300]}")
        return name

    def _type(self, name: str) -> pa.DataType:
        return bare_type(self.schema.field(name).type)

    def _field(self, name: str) -> Any:
        kind, column = self.schema.field(name).type, pc.field(name)
        wanted = pa.float32() if bare_type(kind) == pa.float16() else bare_type(kind)  # Arrow compares no float16
        return column if kind == wanted else column.cast(wanted)

    def _scalar(self, node: ast.expr, other: str | None) -> Any:
        assert other is not None
        return pc.scalar(self._value(node, other))

    def _number(self, node: ast.expr) -> Any:
        """Translate a number that is compared with another, as in ``3 < user_id < 17 < 18``."""
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or value >= 2**63:
            raise self.error(f"{self.shown(node)} is not a column or a value; {HOW}")
        return pc.scalar(float(value))

    def _value(self, node: ast.expr, column: str) -> pa.Scalar:
        """Translate a value to the type of the column that it is compared with."""
        match node:
            case ast.Constant(value=value):
                pass
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as positive)):
                value = -positive
            case _:
                raise self.error(f"{self.shown(node)} is not a column or a value; {HOW}")
        if value is None:
            raise self.error(f"no value equals null; write {column} is null, or {column} is not null")
        try:
            return to_scalar(value, self._type(column))
        except (ValueError, OverflowError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0][:150]
            raise self.error(f"{shown_value(value)} does not fit the columns: {column!r}: {reason}") from error


def _joined(parts: Sequence[Any], join: Callable[[Any, Any], Any]) -> Any:
    """Join expressions as a balanced tree, since Arrow visits trees recursively."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return join(_joined(parts[:middle], join), _joined(parts[middle:], join))


def without_value(predicate: Predicate) -> list[tuple[str, pc.Expression]]:
    """Return, for each compared column, its name and the expression of the rows that it leaves undecided."""
    return [(name, predicate.undecided & pc.field(name).is_null(nan_is_null=True)) for name in predicate.compared]
