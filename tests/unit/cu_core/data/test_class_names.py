from __future__ import annotations

import pytest

from cu_core.data.class_names import class_numbers, told_classes
from cu_core.errors import UserError

FOLDERS = ("1", "10", "11", "2", "3", "9")
"""Class folders 1 2 3 9 10 11, sorted as texts."""
ANIMALS = ("cat", "dog", "caf\u00e9", "Dog", "no")
TWICE = ("ok", "spam", "ok")


@pytest.mark.parametrize(
    ("names", "given", "numbers"),
    [
        (ANIMALS, ["dog"], (1,)),
        (ANIMALS, [1], (1,)),
        (ANIMALS, ["1"], (1,)),  # no class is called 1
        (ANIMALS, ["Dog", 0], (0, 3)),
        (ANIMALS, ["cafe\u0301"], (2,)),
        (ANIMALS, ["no"], (4,)),
        (FOLDERS, ["2"], (3,)),
        (FOLDERS, ["11", "10"], (1, 2)),
        (FOLDERS, [10], (1,)),  # there is no class number 10
        (FOLDERS, [0], (0,)),  # no class is called 0
        (TWICE, [2], (2,)),
        (("0", "1", "2"), [2, "1"], (1, 2)),
    ],
)
def test_names_and_numbers_are_both_taken(names: tuple[str, ...], given: list[int | str], numbers: object) -> None:
    assert class_numbers(given, names) == numbers


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (FOLDERS, [2], "2 could be class number 2, called '11', or the class called '2', number 3; say it as a name"),
        (FOLDERS, [2], r"""request.classes='\["11"\]' or request.classes='\["2"\]'"""),
        (FOLDERS, [3], "3 could be class number 3, called '2', or the class called '3', number 4"),
        (ANIMALS, ["dgo"], "class dgo does not exist; did you mean 'dog'"),
        (ANIMALS, [5], "class 5 does not exist; classes: 0 cat, 1 dog"),
        (ANIMALS, ["5"], "class 5 does not exist"),
        (ANIMALS, ["-1"], "class -1 does not exist"),
        (ANIMALS, ["\u0661"], "does not exist"),
        (ANIMALS, [1, 1], "1 and 1 are the same class, 1 'dog'; name it once"),
        (ANIMALS, [1, "dog"], "1 and 'dog' are the same class"),
        (TWICE, ["ok"], "2 classes are called 'ok'; give their numbers"),
        (ANIMALS, ["x" * 10_000], "does not exist"),
    ],
)
def test_a_word_that_could_be_two_classes_or_none_is_refused(
    names: tuple[str, ...], given: list[int | str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        class_numbers(given, names)
    assert len(str(caught.value)) < 400


def test_what_is_forgotten_is_told_by_number_and_name() -> None:
    assert told_classes([2], ("a", "b", "eleven")) == "forgets class 2, 'eleven'"
    assert told_classes([0, 1], ("a", "b")) == "forgets class 0, 'a'; class 1, 'b'"
    assert told_classes(range(22), [str(n) for n in range(22)]).endswith("class 19, '19' and 2 more")
