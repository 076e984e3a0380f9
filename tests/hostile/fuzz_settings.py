"""Configurations with wrong types and edge values, drawn from the schema of the settings.

``python -m tests.hostile.fuzz_settings SECONDS SEED`` tries them until the time is over.
"""

from __future__ import annotations

import datetime
import itertools
import math
import random
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from cu_core.config_io import as_plain, config_from, dump_config, run_config
from cu_core.errors import UserError
from cu_core.yaml_io import overridden, parse_yaml
from tests.hostile.until import run_until

LONGEST_LINE = 1500
"""Most characters of a message."""
EDGES: tuple[Any, ...] = (
    None, True, False, "", " ", "x", "no", "010", "0x10", "1_0", "1e5", "nan", "../x", "a/b", "a:b", "[/x]", "%s",
    "é" * 200, "y" * 300, "z" * 20_000, "\ud800", "\0", "\x1b[31m", "\n\n", "1e400", "9" * 400, b"b",
    datetime.date(2024, 1, 1),
    -1, 0, 1, 2, 3, 255, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, 10**12, 10**15, -(10**30), 10**5000,
    -0.0, 0.5, 0.999, 1.0, 1.5, 3.5, 1e-320, 1e300, math.inf, -math.inf, math.nan, 1 + 2j,
    [], [1], ["a"], [None], [5, 5, 5], [[]], [1] * 5000, {}, {"a": 1}, {1: 2}, {None: {}}, {"name": 3}, {"kind": []},
    {"name": "scrub"}, {"kind": "by_random"}, {"kind": "by_concept", "concept": False}, object(), {"x" * 5000: 1},
)  # fmt: skip
TEXTS = (
    "[", "{", "}", "*x", "&a [*a]", "&a {<<: *a}", "!!int x", "!!float z", "!!timestamp 1", "!!python/none",
    "2024-13-45", "1:30", "0b1", "~", "'", '"', "\t", "- 1", "? a", "a: b: c", "%", "@", "`", "|", ">", "{a: 1, a: 2}",
    "[" * 5000, "{a: " * 3000, "9" * 5000, "<<: 3", "{<<: [1]}", "!!set {1}", "!!omap [1]", "\x00", "\ufeff1", "#", "=",
)  # fmt: skip


@cache
def settings() -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Dotted path and schema of every setting and part, from the schema of the configuration."""
    schema = run_config().json_schema()
    return tuple(_walk(schema, schema["$defs"], ""))


def _walk(part: Mapping[str, Any], known: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "$ref" in part:
        part = known[part["$ref"].rsplit("/", 1)[1]]
    if path:
        yield path, part
    for option in itertools.chain(part.get("anyOf", ()), part.get("oneOf", ())):
        yield from _walk(option, known, path)
    for name, inner in part.get("properties", {}).items():
        yield from _walk(inner, known, f"{path}.{name}" if path else name)


def _ends(schema: Mapping[str, Any]) -> list[Any]:
    """Values at and beside the ends of a range, and the words that are allowed."""
    numbers = [schema[k] for k in ("ge", "gt", "le", "lt", "minimum", "maximum", "default") if k in schema]
    near = [n + d for n in numbers if isinstance(n, int | float) and not isinstance(n, bool) for d in (-1, 0, 1e-9, 1)]
    return [*near, *schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]


def draw(rng: random.Random) -> dict[str, Any]:
    """Draw a configuration with one to four settings of odd values."""
    values: dict[str, Any] = {}
    for _ in range(rng.randint(1, 4)):
        path, schema = rng.choice(settings())
        pool = _ends(schema)
        value = rng.choice(pool) if pool and rng.random() < 0.5 else rng.choice(EDGES)
        if rng.random() < 0.05:
            path = path[: rng.randint(0, len(path))] + rng.choice(["", "x", ".", "\n", "é", "\ud800"])
        _put(values, path.split("."), value)
    return values


def _put(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(values.get(key), dict):
            values[key] = {}
        values = values[key]
    values[keys[-1]] = value


def _text(rng: random.Random) -> str:
    path, _ = rng.choice(settings())
    return f"{path}={rng.choice(TEXTS)}{rng.choice(['', rng.choice(TEXTS)])}"


def finite(plain: Any) -> bool:
    """Return whether every number is finite."""
    if isinstance(plain, Mapping | list):
        return all(map(finite, plain.values() if isinstance(plain, Mapping) else plain))
    return not isinstance(plain, float) or math.isfinite(plain)


def try_one(seed: int) -> bool:
    """Read the configuration of a seed; return whether it was accepted.

    Raises:
        AssertionError: It was neither read whole nor refused in one line.
    """
    rng = random.Random(seed)
    try:
        values = draw(rng) if rng.random() < 0.7 else overridden({}, [_text(rng) for _ in range(rng.randint(1, 3))])
        config = config_from(values)
    except UserError as error:
        message = " ".join(str(error).split())
        assert 0 < len(message) <= LONGEST_LINE, f"a message of {len(message)} characters: {message[:300]}"
        return False
    assert finite(as_plain(config)), "a number is not finite"
    assert config_from(parse_yaml(dump_config(config), "dump")) == config, "the dump is another configuration"
    return True


def run(seconds: float, seed: int) -> int:
    """Try configurations for a time.

    Args:
        seconds: How long.
        seed: Number of the first configuration.

    Returns:
        How many were tried.

    Raises:
        AssertionError: One was neither read nor refused in one line; the message says how to repeat it.
    """
    return run_until(seconds, seed, "fuzz_settings", try_one)


if __name__ == "__main__":
    sys.stdout.write(f"{run(float(sys.argv[1]), int(sys.argv[2]))} configurations\n")
