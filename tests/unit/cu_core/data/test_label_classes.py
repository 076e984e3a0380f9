from __future__ import annotations

import pyarrow as pa
import pytest

from cu_core.data.label_classes import classes_of, label_values
from cu_core.errors import DataError


def test_rows_without_a_label_are_found() -> None:
    values, bad = label_values(pa.array([1.0, None, float("nan"), 0.5]), "x")
    assert values.to_pylist() == [1, None, None, None]
    assert {kind: rows.tolist() for kind, rows in bad.items()} == {
        "rows have no label": [1, 2],
        "rows have a label that is no whole number": [3],
    }


def test_text_loses_its_spaces_and_has_one_normal_form() -> None:
    values, bad = label_values(pa.array(["e\u0301 ", "\u00e9", " "]), "x")
    assert values.to_pylist() == ["\u00e9", "\u00e9", None]
    assert bad["rows have no label"].tolist() == [2]


def test_classes_are_numbered_by_size_or_alphabet() -> None:
    assert classes_of([10, 9, -1], None, "x").names == ("-1", "9", "10")
    assert classes_of(["10", "9"], None, "x").names == ("9", "10")
    floats = classes_of(["10.0", "2.0", "0.", "2"], None, "x")
    assert floats.names == ("0", "2", "10")
    assert floats.numbers(pa.array(["10.0", "2.0", "2", "0."])).tolist() == [2, 1, 1, 0]
    assert classes_of(["1.5", "1.0"], None, "x").names == ("1.0", "1.5")
    assert classes_of(["10", "b", "a"], None, "x").names == ("10", "a", "b")
    classes = classes_of([7, 3], None, "x")
    assert classes.renumbered
    assert classes.numbers(pa.array([3, 7, 3])).tolist() == [0, 1, 0]
    assert not classes_of([0, 1], None, "x").renumbered
    assert not classes_of(["b", "a"], None, "x").renumbered


def test_names_of_the_file_are_the_classes_where_they_fit() -> None:
    assert classes_of([2], ["a", "b", "c"], "x").names == ("a", "b", "c")
    assert classes_of(["c", "a"], ["c", "a"], "x").numbers(pa.array(["a", "c"])).tolist() == [1, 0]
    assert classes_of([], ["a", "b"], "x").names == ("a", "b")


def test_lists_are_no_labels() -> None:
    with pytest.raises(DataError, match="one label"):
        label_values(pa.array([[1]]), "x")
