"""Where the parts of a model's requests lie in the storage, and how requests are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cu_core.bounds import plain_name
from cu_core.errors import ConfigError
from cu_core.messages import shown_value
from cu_core.storage import names, shown
from pipelines.requests.exclusive import check_exclusive
from pipelines.requests.ledger import Ledger

ID = re.compile(r"(\w[\w.+=@-]*)-([1-9]\d{0,8})")


@dataclass(frozen=True)
class Places:
    """The folders of one model in one storage.

    Raises: ConfigError for a name that no model can have, or a storage that can hold no ledger.
    """

    store: Path
    model: str

    def __post_init__(self) -> None:
        check_model_name(self.model)
        check_exclusive(self.store)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.store / "ledgers" / self.model)

    @property
    def intake(self) -> Path:
        return self.store / "intake" / self.model

    @property
    def salt(self) -> Path:
        return self.intake / "salt"

    def asked_file(self, token: str) -> Path:
        """A request as it was asked."""
        return self.intake / f"{token}.json"

    def rows_file(self, token: str) -> Path:
        """Keyed hashes of the rows of a request."""
        return self.ledger.folder / "rows" / f"{token}.txt"

    def forget_file(self, digest: str) -> Path:
        return self.store / "requests" / digest / "forget.arrow"

    def settings(self, digest: str) -> Path:
        return self.ledger.folder / f"settings-{digest[:16]}.yaml"

    def certificate(self, request: str) -> Path:
        return self.store / "certificates" / f"{request}.json"

    def run(self, name: str) -> Path:
        return self.store / "runs" / name

    def inside(self, path: Path) -> str:
        """A path in the storage, relative to it, so that the storage may be moved."""
        return path.relative_to(self.store).as_posix()


def check_model_name(model: str) -> None:
    """Raises: ConfigError for what cannot be the name of a model."""
    try:
        plain_name(model)
    except ValueError as error:
        raise ConfigError(f"MODEL: {error}, got {shown_value(model)}.") from error


def models_in(store: Path) -> list[str]:
    """The models that have a ledger with an entry.

    Raises: ConfigError if the storage can hold no ledger.
    """
    check_exclusive(store)
    return [name for name in names(store / "ledgers") if Ledger(store / "ledgers" / name).last()]


def known_model(store: Path, model: str) -> Places:
    """Raises: ConfigError if there is no such model."""
    places = Places(store, model)
    if model not in models_in(store):
        known = ", ".join(models_in(store)[:8]) or "none"
        raise ConfigError(
            f"no model {shown_value(model)} in {shown(store)}; models there: {known}. `cu requests open MODEL CONFIG` "
            f"makes one; --storage names another storage."
        )
    return places


def of_request(store: Path, request: str) -> Places:
    """The places of the model that a request is about, by the request's id, ``MODEL-NUMBER``.

    Raises: ConfigError if it is no id, or of no model there.
    """
    found, known = ID.fullmatch(request), models_in(store)
    if request in known and (found is None or found[1] not in known):
        raise ConfigError(f"a request is called MODEL-NUMBER, e.g. {request}-3, got the model {shown_value(request)}.")
    span = ID.fullmatch(found[1]) if found and found[1] not in known else None  # such as faces-1-3
    if found is None or (span and span[1] in known):
        raise ConfigError(
            f"a request is called MODEL-NUMBER, e.g. faces-3, and several are named one by one, got "
            f"{shown_value(request)}."
        )
    return known_model(store, found[1])


def all_models(store: Path) -> list[Places]:
    """Raises: ConfigError if there is none."""
    found = models_in(store)
    if not found:
        raise ConfigError(
            f"no model in {shown(store)}; `cu requests open MODEL CONFIG` makes one; --storage names another storage."
        )
    return [Places(store, model) for model in found]


def model_of(store: Path, requests: Sequence[str]) -> str:
    """The one model that requests are about.

    Raises: ConfigError if they are about several, or one of them is no id or of no model there.
    """
    models = list(dict.fromkeys(of_request(store, one).model for one in requests))
    if len(models) > 1:
        raise ConfigError(f"a batch is of one model, these requests are of {', '.join(models)}.")
    return models[0]
