from __future__ import annotations

from typing import Any

import pytest

from cu_core.errors import UserError
from cu_core.workers import WorkersConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "count must be at least 1 and cpus more than 0, got 0 and 1"),
        ({"rows_at_once": 0}, "rows_at_once must be at least 1"),
        ({"cpus": 0}, "cpus more than 0"),
        ({"max_failures": -1}, "max_failures not negative"),
        ({"count": 3, "min_count": 4}, "min_count must be between 2 and count, 3, got 4"),
        ({"shard": True}, "count must be at least 2, got 1"),
    ],
)
def test_mistakes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WorkersConfig(**settings)


def test_the_device_follows_the_gpu() -> None:
    assert [WorkersConfig(gpu=gpu).device for gpu in (False, True)] == ["cpu", "cuda"]
