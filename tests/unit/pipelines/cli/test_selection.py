from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.cli.selection import check_selection, list_of_ids, selection


@pytest.mark.parametrize(
    ("ids", "classes", "said"),
    [
        ("", None, "--ids: must name a file, got an empty text"),
        (None, ["5", " "], "--class: must name a class, got an empty text"),
        ("a.csv", ["5"], "give exactly one of .*, got --ids and --class"),
        (None, [], "give exactly one of .*, got none"),
    ],
)
def test_one_selection_that_says_something(ids: str | None, classes: list[str] | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_selection(ids, None, classes, None)


def test_a_selection_is_a_request(tmp_path: Path) -> None:
    assert selection("a == 1", None, None) == {"kind": "by_predicate", "where": "a == 1"}
    assert selection(None, ["5", "six"], None) == {"kind": "by_class", "classes": [5, "six"]}
    assert selection(None, None, ["a", "b"]) == {"kind": "by_concept", "concept": "a", "synonyms": ["b"]}
    with list_of_ids("a.csv", tmp_path) as file:
        assert file == "a.csv"
