"""The aliases of a model's versions in the MLflow registry: ``current`` and ``previous``."""

from __future__ import annotations

from collections.abc import Mapping

from cu_core.checkpoint import read_meta
from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.files import file_sha256
from cu_core.storage import fetched
from pipelines.requests.chain import weights_of
from pipelines.requests.places import Places
from pipelines.requests.state import State, state_of
from pipelines.tracking.mlflow_runs import aliased_weights, model_name, point_alias
from pipelines.tracking.server import source_of, tracking_uri
from pipelines.tracking.sqlite_file import file_of
from pipelines.tracking.weights import fetch_weights

CURRENT, PREVIOUS = "current", "previous"


def _by_ledger(places: Places, state: State) -> Mapping[str, str | None]:
    """Weights that each alias must name; absent: there is no such version, or its folder is gone."""
    lineage = [str(state.opened.fields["original"]), *(version.folder for version in state.versions)]
    found: dict[str, str | None] = {}
    for alias, place in ((CURRENT, -1), (PREVIOUS, -2)):
        folder = places.store / lineage[place] if len(lineage) >= -place else None
        known = folder is not None and fetched(folder / "meta.json")
        found[alias] = weights_of(read_meta(folder, verify=False)) if folder and known else None
    return found


def _advice(places: Places, alias: str, weights: str) -> str:
    """What to do about an alias of other weights. A command that was killed leaves those from before the last entry;
    others may be all that is left of an entry."""
    before = places.ledger.read()[:-1]
    if before and _by_ledger(places, state_of(before))[alias] == weights:
        return "`cu requests run` sets the aliases anew"
    return (
        "an entry at the end of the ledger may have been removed, or someone else moved the alias. Find out which "
        "before the next `cu requests run`, which sets the aliases by the ledger"
    )


def point_aliases(places: Places, state: State, config: RunConfig) -> None:
    """Let both aliases name what the ledger says; safe to repeat."""
    for alias, weights in _by_ledger(places, state).items():
        point_alias(config, alias, weights)


def compare_registry(places: Places, state: State, config: RunConfig) -> tuple[list[str], list[str]]:
    """What the registry calls current and previous against the ledger, and the weights that it gives for ``current``
    against their checksum; returns (problems, notes)."""
    try:
        if source_of(config) == "storage" and not file_of(tracking_uri(config)).is_file():
            return [], ["registry: not compared, the storage has no mlflow.db"]
        found = aliased_weights(config)
        if CURRENT not in found:
            return [], [f"registry: not compared, no version of {model_name(config)} has the alias {CURRENT}"]
        problems = []
        for alias, weights in _by_ledger(places, state).items():
            if weights is None or alias not in found:
                continue
            version, given = found[alias]
            if given != weights:
                problems.append(
                    f"registry: {alias} is version {version}, of the weights {given[:16]}; by the ledger they are "
                    f"{weights[:16]}; {_advice(places, alias, given)}"
                )
        version, given = found[CURRENT]
        file = fetch_weights(config, f"models:/{model_name(config)}/{version}")
        if file_sha256(file) != given:
            problems.append(f"registry: the weights of version {version} ({CURRENT}) were changed: {file}")
        return problems, []
    except ConfigError as error:
        return [], [f"registry: not compared: {error}"]
