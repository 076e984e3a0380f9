from __future__ import annotations

from math import inf

import pytest

from cu_core.errors import ConfigError
from cu_core.yaml_loader import DEEPEST, MOST_VALUES, load_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed: 010", {"seed": "010"}),
        ("seed: 0x10", {"seed": "0x10"}),
        ("seed: 1:30", {"seed": "1:30"}),
        ("lr: 1:30.5", {"lr": "1:30.5"}),
        ("lr: 1_0.5", {"lr": "1_0.5"}),
        ("lr: 1_000.0e+3", {"lr": "1_000.0e+3"}),
        ("lr: ._5", {"lr": "._5"}),
        ("lr: [0.5, -.5, +1., 1.5e-3, 1.0E+2, .inf, -.Inf]", {"lr": [0.5, -0.5, 1.0, 0.0015, 100.0, inf, -inf]}),
        ("seed: -10", {"seed": -10}),
        ("name: 2024-01-01", {"name": "2024-01-01"}),
        ("name: 2024-13-45", {"name": "2024-13-45"}),
        ("lr: 1.5", {"lr": 1.5}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {p: 1}\nb: {<<: *x, p: 2}", {"a": {"p": 1}, "b": {"p": 2}}),
        ("a: {p: 1}\nb: {p: 1}", {"a": {"p": 1}, "b": {"p": 1}}),
        ("", None),
    ],
)
def test_values_are_what_was_written(text: str, value: object) -> None:
    assert load_yaml(text, "file") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nlr: 2\nseed: 3", r"the key seed stands there twice \(line 3, column 1\)"),
        ("a: {b: {c: 1, c: 1}}", "the key c stands there twice"),
        (BOMB, f"more than {MOST_VALUES} values, aliases counted as what they stand for"),
        (MERGED, f"more than {MOST_VALUES} values"),
        ("a: &a [*a]", f"more than {MOST_VALUES} values"),
        ("a: &a {<<: *a}", f"more than {MOST_VALUES} values"),
        ("[" * 10_000, f"more than {DEEPEST} levels of nesting"),
        ("{a: " * 10_000, f"more than {DEEPEST} levels of nesting"),
        ("- " * 10_000 + "x", f"more than {DEEPEST} levels of nesting"),
        ("seed: " + "9" * 5000, "a number of 5000 digits"),
        ("seed: !!python/object/apply:os.getpid []", "a tag, tag:yaml.org,2002:python"),
        ("seed: !!timestamp 1", "a tag"),
        ("a:\n\tb: 1", r"cannot start any token \(line 2, column 1\); indent with spaces, not tabs"),
        ("a: \0", "special characters are not allowed"),
        ("a: *b", "undefined alias"),
        ("{[1]: 2}", "unhashable key"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_bounded_yaml_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_yaml(text, "file")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
