"""Classes that a request names, by number or by name."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence

from cu_core.errors import UserError
from cu_core.messages import shown_value

MOST_TOLD = 20


def class_numbers(given: Sequence[int | str], names: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of classes, each once, ascending.

    A text is a name; digits that are no class's name are a number. A whole number is the number of a class. If another
    class is called by it, it could be both, and the class must be given by its name in quotes.

    Args:
        given: Numbers and names.
        names: Names of all classes, in their order.

    Returns:
        The numbers.

    Raises:
        UserError: There is no such class, a word could be two, or two entries are the same class.
    """
    plain = [_normal(name) for name in names]
    found: dict[int, int | str] = {}
    for one in given:
        number = _number(one, plain, names)
        if number in found:
            raise UserError(
                f"request.classes: {shown_value(found[number])} and {shown_value(one)} are the same class, "
                f"{number} {shown_value(names[number])}; name it once."
            )
        found[number] = one
    return tuple(sorted(found))


def _normal(name: str) -> str:
    """Composed accents, so that both forms of one name are equal."""
    return unicodedata.normalize("NFC", name)


def _number(one: int | str, plain: Sequence[str], names: Sequence[str]) -> int:
    called = [number for number, name in enumerate(plain) if name == _normal(str(one))]
    if len(called) > 1 and isinstance(one, str):
        raise UserError(f"request.classes: {len(called)} classes are called {shown_value(one)}; give their numbers.")
    digits = isinstance(one, int) or (one.isascii() and one.isdecimal() and len(one) < 10)
    number = int(one) if digits and int(one) < len(names) else None
    if isinstance(one, str) and called:
        return called[0]
    if number is not None and called and number not in called:
        raise UserError(
            f"request.classes: {one} could be class number {one}, called {shown_value(names[number])}, or the class "
            f"called '{one}', number {called[0]}; say it as a name in quotes: {_quoted(names[number])} or "
            f"{_quoted(str(one))}."
        )
    if number is None and not called:
        raise UserError(f"request.classes: class {str(one)[:80]} does not exist; {_near(one, names)}.")
    return called[0] if number is None else number


def _quoted(name: str) -> str:
    """How a name is written on the command line."""
    return f"request.classes='[\"{name[:40]}\"]'"


def _near(one: int | str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(one)[:200], names, 1)
    there = ", ".join(str(i) if n == str(i) else f"{i} {n[:40]}" for i, n in enumerate(names[:MOST_TOLD])) + (
        ", ..." if len(names) > MOST_TOLD else ""
    )
    hint = f"did you mean {shown_value(near[0])}? " if near and isinstance(one, str) else ""
    return f"{hint}classes: {there}"


def told_classes(numbers: Sequence[int], names: Sequence[str]) -> str:
    """Return which classes a request forgets, as a run prints it."""
    told = [f"{number}, {shown_value(names[number])}" for number in numbers[:MOST_TOLD]]
    more = f" and {len(numbers) - MOST_TOLD} more" if len(numbers) > MOST_TOLD else ""
    return f"forgets class {'; class '.join(told)}{more}"
