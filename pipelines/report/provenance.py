"""Where a document comes from: the command that made it, and the machine."""

from __future__ import annotations

import os
import platform
import re
import sys

from cu_core.secrets import masked


def command_line() -> str:
    """What the user typed, without passwords."""
    return masked("cu " + " ".join(f"'{a}'" if any(c in a for c in "|[]{}* ") else a for a in sys.argv[1:]))


def resumed(command: str, name: str) -> str:
    """The command that goes on with the sweep that this one began."""
    command = re.sub(r" --name[ =]\S+", "", command)
    return command if "--resume" in command else f"{command} --resume {name}"


def from_nothing(command: str) -> str:
    """The command that makes the sweep again."""
    return re.sub(r" --resume[ =](\S+)", r" --name \1", command)


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
