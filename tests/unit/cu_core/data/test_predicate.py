from __future__ import annotations

import datetime
import decimal
import math

import pyarrow as pa
import pytest

from cu_core.data.predicate import parse_predicate, without_value
from cu_core.errors import UserError

TABLE = pa.table(
    {"user_id": [17, 17, 3, 4], "source": ["web", "licensed", "web", "mail"], "score": [0.1, 0.2, 0.3, -1.0]}
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("user_id == 17 and source != 'licensed'", [0]),
        ("user_id == 17 or score < 0", [0, 1, 3]),
        ("not (user_id == 17)", [2, 3]),
        ("0.1 < score <= 0.3", [1, 2]),
        ("source in ['mail', 'licensed']", [1, 3]),
        ("source not in ('web',)", [1, 3]),
        ("score >= -1", [0, 1, 2, 3]),
        ("user_id == 3 or user_id == 17 and source == 'web'", [0, 2]),
        ("(user_id == 3 or user_id == 17) and source == 'web'", [0, 2]),
        ("(user_id == 4 or user_id == 17) and source == 'web'", [0]),
        ("user_id == 4 or user_id == 17 and source == 'web'", [0, 3]),
        ("user_id == 3 or user_id == 4 or score == 0.1", [0, 2, 3]),
        ("score < 0.2", [0, 3]),
        ("score <= 0.2", [0, 1, 3]),
        ("score > 0.2", [2]),
        ("3 < user_id < 17", [3]),
        ("3 <= user_id <= 4 < 5", [2, 3]),
        ("not user_id == 17 and source == 'web'", [2]),
        ("score == -1.0", [3]),
    ],
)
def test_expressions_select_what_they_say(text: str, rows: list[int]) -> None:
    expression = parse_predicate(text, TABLE.schema).expression
    assert TABLE.filter(expression).to_pylist() == TABLE.take(rows).to_pylist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "is not understood"),
        ("user_id == open('x')", "is not a column or a value"),
        ("user == 17", "no column 'user'; did you mean 'user_id'? columns: user_id, source, score"),
        ("user_id ==", "does not parse"),
        ("user_id in 17", "needs a list"),
        ("user_id is 17", "not understood"),
        ("(lambda: 1)() == 1", "is not a column or a value"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("?", r"\?")):
        parse_predicate(text, TABLE.schema)


MIXED = pa.table(
    {
        "user": pa.array([1, 2, None, 4]),
        "my col": ["a", "b", None, "it's"],
        "class": [1, 2, 3, 4],
        "licensed": pa.array([True, False, None, True]),
        "day": pa.array([datetime.date(2024, 1, d) for d in (1, 2, 3)] + [None]),
        "seen": pa.array([datetime.datetime(2024, 1, 1, h) for h in range(4)], pa.timestamp("us")),
        "seen_utc": pa.array([datetime.datetime(2024, 1, 1, h) for h in range(4)], pa.timestamp("ms", "UTC")),
        "price": pa.array([decimal.Decimal(p) for p in ("1.10", "2.00", "0.50", "9.99")], pa.decimal128(10, 2)),
        "site": pa.array(["web", "mail", None, "web"]).dictionary_encode(),
        "score": pa.array([0.5, math.nan, None, 2.0]),
        "half": pa.array([0.5, math.nan, None, 2.0], pa.float16()),
        "tags": pa.array([["x"], [], None, ["y"]]),
        "small": pa.array([1, 2, 3, 255], pa.uint8()),
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("user is null", [2]),
        ("user is not null", [0, 1, 3]),
        ("user IS NULL or user == 1", [0, 2]),
        ("user is None", [2]),
        ("not user is null", [0, 1, 3]),
        ("user != 1", [1, 3]),
        ("not user == 1", [1, 3]),
        ("user not in [1]", [1, 3]),
        ("not user in [1]", [1, 3]),
        ("user != 1 or user is null", [1, 2, 3]),
        ("tags is null", [2]),
        ("`my col` == 'a'", [0]),
        ('`my col` == "it\'s"', [3]),
        ("`class` > 2", [2, 3]),
        ("licensed", [0, 3]),
        ("not licensed", [1]),
        ("licensed and `class` < 3", [0]),
        ("licensed == false", [1]),
        ("licensed != TRUE", [1]),
        ("day >= '2024-01-02'", [1, 2]),
        ("'2024-01-01' == day", [0]),
        ("seen < '2024-01-01 02:00'", [0, 1]),
        ("seen_utc == '2024-01-01T02:00:00+01:00'", [1]),
        ("seen_utc == '2024-01-01 03:00'", [3]),
        ("price == 1.1", [0]),
        ("price in [2, '0.50']", [1, 2]),
        ("price > 2", [3]),
        ("site == 'web'", [0, 3]),
        ("site in ['mail']", [1]),
        ("site like 'w%'", [0, 3]),
        ("site not like 'w%'", [1]),
        ("NOT site LIKE '_eb'", [1]),
        ('`my col` like "%\'%"', [3]),
        ("score > 1", [3]),
        ("score != 0.5", [3]),
        ("not score == 0.5", [3]),
        ("score not in [0.5]", [3]),
        ("not (score > 0)", []),
        ("not (score != 0.5)", [0]),
        ("score is null", [1, 2]),
        ("score is not null", [0, 3]),
        ("score != 0.5 or score is null", [1, 2, 3]),
        ("score == score", [0, 3]),
        ("half != 0.5", [3]),
        ("small == 255 AND small != 300", [3]),
        ("small == -1 or small == 1", [0]),
        (" or ".join(["user == 1"] * 600), [0]),
    ],
)
def test_columns_of_every_type_are_compared(text: str, rows: list[int]) -> None:
    expression = parse_predicate(text, MIXED.schema).expression
    numbered = MIXED.append_column("row", pa.array(range(4)))
    assert numbered.filter(expression)["row"].to_pylist() == rows


@pytest.mark.parametrize(
    ("text", "undecided"),
    [
        ("user != 1", {"user": 1}),
        ("user is null", {}),
        ("user == 1 and site == 'web'", {"user": 1, "site": 1}),
        ("user == 1 or `class` == 3", {"user": 0, "class": 0}),
        ("licensed", {"licensed": 1}),
        ("score != 0.5", {"score": 2}),
        ("score != 0.5 and user != 1", {"score": 2, "user": 1}),
        ("half > 0", {"half": 2}),
        ("site not in ['web']", {"site": 1}),
    ],
)
def test_rows_that_a_comparison_cannot_decide_are_found(text: str, undecided: dict[str, int]) -> None:
    left = without_value(parse_predicate(text, MIXED.schema))
    assert {name: MIXED.filter(expression).num_rows for name, expression in left} == undecided


DEEP = "(" * 60 + "user == 1" + ")" * 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user == None", "no value equals null; write user is null"),
        ("user in [1, null]", "no value equals null"),
        ("user == 'x'", "the column holds int64, so a number must stand there"),
        ("user == true", "the column holds int64, so true or false must stand there"),
        ("licensed == 1", "the column holds bool, so true or false"),
        ("day == 'soon'", "'soon' does not fit the columns: 'day': Invalid isoformat string"),
        ("day == '2024-13-45'", "does not fit the columns: 'day'"),
        ("seen == '2024-01-01T00:00:00+01:00'", "has no time zone"),
        ("price == 'cheap'", "a number must stand there"),
        ("price == 'NaN'", "a finite number"),
        ("tags == 'x'", "can be tested with is null"),
        ("tags like 'x'", "not texts"),
        ("site like 3", "like needs a text"),
        ("site like site", "like needs a text"),
        ("user == 99999999999999999999999", "does not fit the columns"),
        ("user == " + "9" * 5000, "does not parse"),
        ("user == 1_0", "'1_0' is no number in decimal digits"),
        ("user == 0x10", "is no number in decimal digits"),
        ("user == 010", "does not parse"),
        ("user == 1j", "is no number in decimal digits"),
        ("user == ...", "does not fit the columns"),
        ("user == b'x'", "does not fit the columns"),
        ("user == f'{user}'", "is not a column or a value"),
        ("user * 2 == 4", "is not a column or a value"),
        ("user", "column 'user' holds int64, not true and false"),
        ("user in []", "needs a list of values"),
        ("user in [user]", "is not a column or a value"),
        ("user in [['x']]", "is not a column or a value"),
        ("1 == 'a'", "is not a column or a value"),
        ("'a' == 'a'", "is not a column or a value"),
        ("site == 'it''s'", "two texts stand side by side"),
        ("site @ 'x'", "@ is not understood"),
        ("~licensed", "~ is not understood"),
        ("user = 1", "does not parse"),
        ("user is 1", "use =="),
        ("class == 1", "does not parse.*columns of other names in backticks"),
        ("`no such` == 1", "no column 'no such'"),
        ("", "does not parse"),
        ("not " * 10_000 + "licensed", "it may have 10000"),
        ("not " * 2000 + "licensed", "more than 50 levels|does not parse"),
        ("(" * 3000 + "licensed" + ")" * 3000, "does not parse"),
        ("user == 1 and (" * 100 + "licensed" + ")" * 100, "more than 50 levels of nesting"),
        ("site == '\ud800'", "does not parse"),
        ("user == 1; import os", "does not parse"),
        ("lambda: licensed", "is not understood"),
        ("[u for u in user]", "is not understood"),
        ("user := 3", "does not parse"),
        ("user.real == 1", "is not a column or a value"),
        ("user[0] == 1", "is not a column or a value"),
        ("x" * 9000 + " == 1", "no column"),
    ],
    ids=lambda text: text[:20].encode("ascii", "replace").decode(),
)
def test_what_cannot_be_meant_is_refused_in_one_short_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_predicate(text, MIXED.schema)
    assert len(str(caught.value)) < 700


def test_parentheses_nest_freely() -> None:
    assert MIXED.filter(parse_predicate(DEEP, MIXED.schema).expression).num_rows == 1
