"""Files of a request that no entry names: its command was killed before it entered the request.

The files come first, then the entry that names them by their token. A token says which process made it and when, so
that what a dead process left can be told from what another one is about to enter.
"""

from __future__ import annotations

import os
import re
import secrets
import time

from cu_core.leftovers import DAY, lives, machine
from cu_core.storage import names, remove
from pipelines.console import counted
from pipelines.requests.places import Places

TOKEN = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{16}")


def new_token() -> str:
    """A name for the files of one request: machine, process, time, and a random part."""
    return f"{machine()}-{os.getpid()}-{int(time.time())}-{secrets.token_hex(8)}"


def unentered(places: Places) -> list[str]:
    """Tokens of files that no entry names and that none will name, in order."""
    files = [*names(places.rows_file("").parent), *names(places.intake)]
    dead = sorted({token for name in files if _is_dead(token := name.partition(".")[0])})
    # The ledger is read after that: who is dead by then has entered all that it ever will.
    entered = {entry.fields.get("token") for entry in places.ledger.read()}
    return [token for token in dead if token not in entered]


def _is_dead(token: str) -> bool:
    """Whether the process that made a token has ended: by its id on this machine, by age for another machine."""
    found = TOKEN.fullmatch(token)
    if found is None:
        return False
    where, process, made = found.groups()
    return not lives(int(process)) if where == machine() else time.time() - int(made) > DAY


def sweep_unentered(places: Places) -> int:
    """Delete those files; returns of how many requests."""
    left = unentered(places)
    for token in left:
        remove(places.asked_file(token))
        remove(places.rows_file(token))
    return len(left)


def told_unentered(count: int, done: str) -> list[str]:
    """What is said of them; nothing if there are none."""
    again = "enter again what is still wanted"
    return [f"{counted(count, 'request')} never entered, as the command was killed: {done}; {again}"] if count else []
