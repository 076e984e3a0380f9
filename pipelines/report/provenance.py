"""Origin of a document: its command and the machine."""

from __future__ import annotations

import os
import platform
import re
import sys

from cu_core.secrets import masked


def command_line() -> str:
    """Return the command that the user typed, without passwords."""
    return masked("cu " + " ".join(f"'{a}'" if any(c in a for c in "|[]{}* ") else a for a in sys.argv[1:]))


def resumed(command: str, name: str) -> str:
    """Return the command that continues the sweep of ``command``."""
    command = re.sub(r" --name[ =]\S+", "", command)
    return command if "--resume" in command else f"{command} --resume {name}"


def from_nothing(command: str) -> str:
    """Return the command that runs the sweep from the start."""
    return re.sub(r" --resume[ =](\S+)", r" --name \1", command)


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
