"""Environment of a stored result, and one line where it differs from the present one."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

import torch

LOG = logging.getLogger("cu_core")
NAMES: Mapping[str, str] = {"torch": "torch", "device": "device", "matmul": "float32 products"}
"""What is compared, and what it is called."""


def environment(device: str) -> dict[str, str]:
    """Describe what changes figures slightly but is part of no key.

    Args:
        device: Kind of device, ``cpu`` or ``cuda``.

    Returns:
        Versions and names.
    """
    found = {"torch": torch.__version__, "device": device, "matmul": torch.get_float32_matmul_precision()}
    return found | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" and torch.cuda.is_available() else {})


def differences(made: Mapping[str, str] | None, here: Mapping[str, str]) -> str:
    """Describe how two environments differ, e.g. ``torch 2.7 (here 2.8), device cuda (here cpu)``.

    Args:
        made: The recorded environment, or ``None`` if it was not recorded.
        here: The present environment.

    Returns:
        The text; empty if they are alike. Patch versions are ignored.
    """
    if made is None:
        return "an environment that is not recorded"
    old, new = _comparable(made), _comparable(here)
    return ", ".join(f"{NAMES[k]} {old[k]} (here {new[k]})" for k in NAMES if old[k] != new[k])


def _comparable(found: Mapping[str, str]) -> dict[str, str]:
    return {**found, "torch": ".".join(found["torch"].split(".")[:2])}


def tell_other(what: str, made: Mapping[str, str] | None, here: Mapping[str, str]) -> str:
    """Log that a stored result was made in another environment.

    Args:
        what: Name of the result.
        made: The recorded environment, or ``None``.
        here: The present environment.

    Returns:
        The logged line; empty if the environments are alike.
    """
    found = differences(made, here)
    line = f"{what} was made with {found}; figures may differ from those made here." if found else ""
    if line:
        say(line)
    return line


@functools.cache
def say(line: str) -> None:
    """Log a line once per process."""
    LOG.warning("%s", line)
