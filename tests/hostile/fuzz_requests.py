"""Predicates and lists of ids made of pieces that do and do not belong together.

``python -m tests.hostile.fuzz_requests SECONDS SEED`` tries them until the time is over.
"""

from __future__ import annotations

import datetime
import decimal
import random
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from cu_core.data.class_names import class_numbers
from cu_core.data.id_lists import as_stored, read_ids
from cu_core.data.predicate import parse_predicate, without_value
from cu_core.errors import UserError
from tests.hostile.until import run_until

LONGEST_LINE = 1500
"""Most characters of a message."""
TABLE = pa.table(
    {
        "user": pa.array([1, None, 3]),
        "small": pa.array([1, 2, None], pa.uint8()),
        "large": pa.array([1, 2**64 - 1, None], pa.uint64()),
        "my col": ["a", None, "it's"],
        "class": [1.5, float("nan"), None],
        "ok": pa.array([True, None, False]),
        "day": pa.array([datetime.date(2024, 1, 1), None, None]),
        "seen": pa.array([datetime.datetime(2024, 1, 1), None, None], pa.timestamp("ns", "UTC")),
        "hour": pa.array([datetime.time(1, 2), None, None]),
        "price": pa.array([decimal.Decimal("1.10"), None, None], pa.decimal128(5, 2)),
        "tags": pa.array([["x"], None, []]),
        "site": pa.array(["web", None, "mail"]).dictionary_encode(),
        "raw": pa.array([b"x", None, b""]),
        "[/x]": pa.array(["x", None, ""]),
    }
)
PIECES = (
    "user", "small", "large", "`my col`", "`class`", "ok", "day", "seen", "hour", "price", "tags",
    "site", "raw", "`[/x]`",
    "class", "nothing", "== ", "!=", "<", "<=", ">", ">=", "=", "and", "or", "not", "in", "not in", "is", "is not",
    "like", "not like", "null", "None", "true", "False", "(", ")", "[", "]", ",", "1", "-1", "0",
    "1.5", "1_0", "0x1", "010",
    "1j", "1e400", str(2**63), str(2**64), "9" * 30, "'a'", '"it\'s"', "'2024-01-01'",
    "'2024-01-01T00:00+01:00'", "'1.10'",
    "'%'", "'", '"', "`", "``", "+", "*", "**", "@", "~", "%", "...", ":", ":=", "lambda",
    "f'{user}'", "b'x'", "'\ud800'",
    "\0", "\n", "\t", "#", "\\", "é", "狗", "(" * 300, "not " * 400, "[1," * 200,
    "user == 1 or " * 300, "a" * 2000, ";",
)  # fmt: skip
OPERANDS = ("user", "small", "large", "`my col`", "`class`", "ok", "day", "seen", "hour", "price", "site", "`[/x]`")
VALUES = (
    "1",
    "-3",
    "1.5",
    "'a'",
    "'2024-01-01'",
    "true",
    "null",
    "['a', 'b']",
    "[1, 2]",
    "(1,)",
    "'12:00'",
    str(2**63),
)
CELLS = (
    "1", "-5", "007", "+7", "1_0", "1.0", "1e5", "a", "a b", '"a,b"', '"', "'", "", " ", "#x",
    "\ufeff", "\0", "\ud800", "狗",
    "sample_id", "id", "user", "9" * 30, str(2**63), "8f14e45f-ceea-467f-a8a5-1c8a1d0c0000",
    "NULL", "[1", "2]", "{", "}",
    '{"sample_id": 1}', '{"sample_id": "x"}', '{"id": null}', '{"a":' * 2000, "[" * 2000, "PAR1", "x" * 5000,
)  # fmt: skip
SEPARATORS = ("\n", "\n", "\r\n", ",", ";", "\t", " ", "\n\n", ",,", "\r")


def predicate(rng: random.Random) -> str:
    """Draw an expression: well-formed in part, so that it reaches Arrow."""
    if rng.random() < 0.5:
        parts = []
        for _ in range(rng.randint(1, 4)):
            sign = rng.choice(["==", "!=", "<", ">=", "in", "not in", "like", "is", "is not", "not like"])
            parts.append(f"{rng.choice(['', 'not '])}{rng.choice(OPERANDS)} {sign} {rng.choice(OPERANDS + VALUES * 2)}")
        return rng.choice([" and ", " or "]).join(parts)
    return rng.choice([" ", ""]).join(rng.choice(PIECES) for _ in range(rng.randint(1, 12)))


def id_list(rng: random.Random) -> bytes:
    """Draw the bytes of a list of ids."""
    text = "".join(rng.choice(CELLS) + rng.choice(SEPARATORS) for _ in range(rng.randint(0, 12)))
    raw = text.encode(rng.choice(["utf-8", "utf-8", "utf-16", "utf-8-sig"]), "surrogatepass")
    if raw and rng.random() < 0.2:
        spot = rng.randrange(len(raw))
        raw = raw[:spot] + bytes([rng.randrange(256)]) + raw[spot + rng.randrange(3) :]
    return raw


def try_one(seed: int) -> bool:
    """Read a predicate, a list of ids and some class names of a seed; return whether all were accepted.

    Raises:
        AssertionError: One was neither read nor refused in one line.
    """
    rng = random.Random(seed)
    return all([_predicate(predicate(rng)), _ids(id_list(rng)), _classes(rng)])


def _refused(error: UserError) -> bool:
    message = " ".join(str(error).split())
    assert 0 < len(message) <= LONGEST_LINE, f"a message of {len(message)} characters: {message[:300]}"
    return False


def _predicate(text: str) -> bool:
    try:
        parsed = parse_predicate(text, TABLE.schema)
    except UserError as error:
        return _refused(error)
    try:
        matched = TABLE.filter(parsed.expression).num_rows
        undecided = [TABLE.filter(left).num_rows for _, left in without_value(parsed)]
    except (
        pa.ArrowNotImplementedError,
        pa.ArrowInvalid,
    ):  # two columns that cannot be compared
        return False
    assert matched + max(undecided, default=0) <= TABLE.num_rows, "a row is both matched and undecided"
    return True


def _ids(raw: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids"
        path.write_bytes(raw)
        try:
            ids = read_ids(path, ["sample_id", "id"], [])
            assert as_stored(ids, pa.string(), "ids").null_count == 0
            assert as_stored(ids, pa.int64(), "ids").null_count == 0
        except UserError as error:
            return _refused(error)
    return True


def _classes(rng: random.Random) -> bool:
    words = ["0", "1", "2", "3", "11", "dog", "é", "e\u0301", "\ud800", "[/x]", "", "no", "x" * 3000]
    names = [rng.choice(words) for _ in range(rng.randint(1, 6))]
    given = [rng.choice([*words, *range(-1, 12)]) for _ in range(rng.randint(1, 3))]
    try:
        numbers = class_numbers(given, names)
    except UserError as error:
        return _refused(error)
    assert len(numbers) == len(given), "two classes became one"
    return True


def run(seconds: float, seed: int) -> int:
    """Try requests for a time.

    Args:
        seconds: How long.
        seed: Number of the first request.

    Returns:
        How many were tried.

    Raises:
        AssertionError: One was neither read nor refused in one line; the message says how to repeat it.
    """
    return run_until(seconds, seed, "fuzz_requests", try_one)


if __name__ == "__main__":
    sys.stdout.write(f"{run(float(sys.argv[1]), int(sys.argv[2]))} requests\n")
