"""What computed a stored thing, and one line where that is not what computes now."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

import torch

LOG = logging.getLogger("cu_core")
NAMES: Mapping[str, str] = {"torch": "torch", "device": "device", "matmul": "float32 products"}
"""What is compared, and what it is called."""


def environment(device: str) -> dict[str, str]:
    """What changes figures slightly and stands in no key; ``device`` is its kind, ``cpu`` or ``cuda``."""
    found = {"torch": torch.__version__, "device": device, "matmul": torch.get_float32_matmul_precision()}
    return found | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" and torch.cuda.is_available() else {})


def differences(made: Mapping[str, str] | None, here: Mapping[str, str]) -> str:
    """``torch 2.7 (here 2.8), device cuda (here cpu)``; empty where they are alike, patch versions aside."""
    if made is None:
        return "an environment that is not recorded"
    old, new = _comparable(made), _comparable(here)
    return ", ".join(f"{NAMES[k]} {old[k]} (here {new[k]})" for k in NAMES if old[k] != new[k])


def _comparable(found: Mapping[str, str]) -> dict[str, str]:
    return {**found, "torch": ".".join(found["torch"].split(".")[:2])}


def tell_other(what: str, made: Mapping[str, str] | None, here: Mapping[str, str]) -> str:
    """Says that something kept was made elsewhere; returns the line, empty where it was not."""
    found = differences(made, here)
    line = f"{what} was made with {found}; figures may differ from those made here." if found else ""
    if line:
        say(line)
    return line


@functools.cache
def say(line: str) -> None:
    """Once in a process."""
    LOG.warning("%s", line)
