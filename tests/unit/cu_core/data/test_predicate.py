from __future__ import annotations

import pyarrow as pa
import pytest

from cu_core.data.predicate import parse_predicate

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
    expression = parse_predicate(text, TABLE.column_names)
    assert TABLE.filter(expression).to_pylist() == TABLE.take(rows).to_pylist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "is not understood"),
        ("user_id == open('x')", "is not a column or a value"),
        ("user == 17", "no column 'user'; columns: user_id, source, score"),
        ("user_id ==", "does not parse"),
        ("user_id in 17", "needs a list"),
        ("user_id is 17", "not understood"),
        ("(lambda: 1)() == 1", "is not a column or a value"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        parse_predicate(text, TABLE.column_names)
