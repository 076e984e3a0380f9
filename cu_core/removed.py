"""Settings of earlier versions, and what took their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cu_core.errors import ConfigError

KEYS = {
    "method.queue_size": "earlier retain embeddings did not help; leave it out",
    "method.lambda_dispersion": "use method.lambda_cosine, which keeps the cosine of a class that was never learned",
    "method.smoothing": "it belonged to method.pull_weights=neighbours; use method.pull_weights=forests",
    "data.half": "`cu audit-strong` draws the halves of its pools itself; leave it out",
    "audit.report_on": "searches read the stop set and reports the test set; leave it out",
}
VALUES = {
    "method.pull_weights": {
        "neighbours": "use method.pull_weights=forests",
        "peers": "use method.pull_weights=forests",
    }
}


def check_removed(values: Mapping[str, Any], method: str) -> None:
    """Refuse settings that earlier versions had.

    Args:
        values: What the user set.
        method: Name of the method; the settings of ``method`` are those of ``contrastive``.

    Raises:
        ConfigError: One is there; the message says what took its place.
    """
    for path, instead in KEYS.items():
        other = path.startswith("method.") and method != "contrastive"
        if not other and _at(values, path) is not None:
            raise ConfigError(f"{path}: this setting was removed; {instead}.")
    for path, removed in VALUES.items():
        value = _at(values, path)
        if isinstance(value, str) and value in removed:
            raise ConfigError(f"{path}: the value {value} was removed; {removed[value]}.")


def _at(values: Mapping[str, Any], path: str) -> Any:
    part, key = path.split(".")
    held = values.get(part)
    return held.get(key) if isinstance(held, Mapping) else None
