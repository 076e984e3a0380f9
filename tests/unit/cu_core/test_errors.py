from __future__ import annotations

import pytest

from cu_core import errors
from cu_core.errors import SHOWN, UserError, listed


@pytest.mark.parametrize("name", ["ConfigError", "DataError", "DamagedFile", "NonFiniteError"])
def test_mistakes_of_the_user_are_told_from_bugs(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, UserError)
    assert issubclass(kind, ValueError)


def test_problems_become_one_sentence() -> None:
    assert listed(["row 1: bad.", "row 2: worse"]) == "2 in all: row 1: bad; row 2: worse."


@pytest.mark.parametrize(("count", "end"), [(SHOWN, "p19."), (SHOWN + 1, "p19; and 1 more."), (50, "; and 30 more.")])
def test_of_many_problems_the_first_are_named_and_the_others_counted(count: int, end: str) -> None:
    text = listed([f"p{n}" for n in range(count)])
    assert text.startswith(f"{count} in all: p0; p1; ")
    assert text.endswith(end)
    assert text.count(";") == min(count, SHOWN) - 1 + (count > SHOWN)
