"""What the program sees to before anything is imported."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.cli.entry import keep_to_this_machine


def test_a_ray_of_our_own_is_closed() -> None:
    environment: dict[str, str] = {}
    keep_to_this_machine(environment)
    assert environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert environment["RAY_AUTH_MODE"] == "token"
    assert len(environment["RAY_AUTH_TOKEN"]) == 64
    other: dict[str, str] = {}
    keep_to_this_machine(other)
    assert other["RAY_AUTH_TOKEN"] != environment["RAY_AUTH_TOKEN"]


def test_what_the_user_has_set_stays() -> None:
    environment = {"RAY_AUTH_MODE": "disabled"}
    keep_to_this_machine(environment)
    assert environment == {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    environment = {"RAY_AUTH_TOKEN_PATH": "/a", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    keep_to_this_machine(environment)
    assert environment.pop("RAY_AUTH_MODE") == "token"
    assert environment == {"RAY_AUTH_TOKEN_PATH": "/a", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}


def test_the_lowest_ray_knows_tokens() -> None:
    """Before 2.52 Ray does not know RAY_AUTH_MODE and would ask for no token."""
    project = (Path(__file__).parents[4] / "pyproject.toml").read_text()
    (lowest,) = re.findall(r'"ray\[[\w,]+\]>=(\d+)\.(\d+)"', project)
    assert tuple(map(int, lowest)) >= (2, 52)
