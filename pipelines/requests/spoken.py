"""Messages of the library about a request, in the words of ``cu requests add``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.requests.places import Places

OPTIONS = {
    "set request.missing to note (cu requests add: --missing note)": "give --missing note",
    "request.kind by_concept matches": "--concept matches",
    "request.duplicates=": "--duplicates ",
    "request.path": "--ids",
    "request.column": "--key",
    "request.missing": "--missing",
    "request.where": "--where",
    "request.classes": "--class",
}
OF_KIND = {"by_id": "--ids", "by_predicate": "--where", "by_class": "--class", "by_concept": "--concept"}
NONE = re.compile(r"(none of \d+ training rows) matches By\w+\(.*")
CLASS = re.compile(r"request=\{kind: by_class, classes: \[(.*?)\]\} \(cu requests add: --class\)")
UNDECIDED = re.compile(r"(; )?\b0 rows have no [^;]*: not matched")
"""Says nothing: no row was left out for want of a value."""


def spoken(text: str, places: Places, request: Mapping[str, Any]) -> str:
    """One message; settings are named by the options that give them."""
    if path := _from_standard_input(places, request):
        for own in (str(Path(path).resolve()), path):
            text = text.replace(own, "standard input")
    for setting, option in OPTIONS.items():
        text = text.replace(setting, option)
    text = re.sub("^predicate ", "--where ", text)
    text = NONE.sub(rf"\1 is named by {OF_KIND.get(str(request['kind']), 'it')}.", text)
    text = CLASS.sub(r"--class \1", text)
    text = UNDECIDED.sub("", text).replace("; .", ".")
    return re.sub(
        r"\b1 rows have\b", "1 row has", re.sub(r"^1 ids of (.*) stand there", r"1 id of \1 stands there", text)
    )


def spoken_notes(notes: Sequence[str], places: Places, request: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that say something."""
    return tuple(text for note in notes if (text := spoken(note, places, request)))


def spoken_request(request: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """The request as it is kept: standard input is ``-``, its file is gone when the command ends."""
    return {**request, "path": "-"} if _from_standard_input(places, request) else dict(request)


def _from_standard_input(places: Places, request: Mapping[str, Any]) -> str:
    """The file in which a list from standard input is kept meanwhile."""
    path = str(request.get("path") or "")
    return path if path and Path(path).is_relative_to(places.intake) else ""


def as_given(request: Mapping[str, Any]) -> str:
    """A request as it was asked, by the options that give it."""
    words: list[tuple[str, Any]] = []
    if request["kind"] == "by_class":
        words += [("--class", one) for one in request["classes"]]
    elif request["kind"] == "by_id":
        words += [("--ids", request["path"])]
        words += [("--key", request["column"])] if request["column"] is not None else []
        words += [("--missing", "note")] if request["missing"] == "note" else []
    elif request["kind"] == "by_predicate":
        words += [("--where", repr(request["where"]))]
    elif request["kind"] == "by_concept":
        words += [("--concept", repr(one)) for one in (request["concept"], *request["synonyms"])]
    else:
        return ", ".join(f"{key} {value}" for key, value in request.items())
    words += [("--duplicates", request["duplicates"])] if request["duplicates"] != "ignore" else []
    return " ".join(f"{option} {value}" for option, value in words)
