"""Whether an id is among the rows of a request, by the keyed hashes of the ledger."""

from __future__ import annotations

from cu_core.errors import DamagedFile
from cu_core.storage import fetched
from pipelines.requests.ledger import sha256_hex
from pipelines.requests.places import Places
from pipelines.requests.salted import read_salt, readings
from pipelines.requests.state import State


def contains(places: Places, state: State, name: str, value: str) -> bool:
    """Whether ``value`` is the id of a row, or a value of the column that the request named.

    Raises: DamagedFile if the hashes are not those of the ledger.
    """
    fields = state.request(name).received.fields
    path = places.rows_file(fields["token"])
    if not fetched(path) or sha256_hex(path.read_bytes()) != fields["hashes"]:
        raise DamagedFile(f"{path} is missing or was changed: the keyed hashes of {name}; bring it from a copy.")
    salt, held = read_salt(places.salt), set(path.read_text(encoding="ascii").split())
    columns = [fields["column"]] if fields["column"] else []
    return any(salt.of(text) in held for text in readings(value, columns))
