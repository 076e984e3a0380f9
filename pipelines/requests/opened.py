"""How a model becomes known: ``cu requests open`` keeps its configuration, from which every request's is made."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.errors import ConfigError, DamagedFile
from cu_core.secrets import masked_settings
from cu_core.storage import fetched, shown
from cu_core.yaml_io import merge, overridden, parse_yaml, read_yaml
from pipelines.requests.exclusive import create
from pipelines.requests.ledger import Entry, sha256_hex
from pipelines.requests.places import Places, check_model_name
from pipelines.requests.policy import Policy
from pipelines.requests.salted import new_salt
from pipelines.requests.state import State
from pipelines.requests.unlearned import check_not_unlearned
from pipelines.run.plan import absolute, checked_workspace

BY_PRESET = ("method", "optimizer", "batches", "stop")
"""Parts that a preset sets by the kind of request."""


def open_model(model: str, file: Path, overrides: Sequence[str], policy: Policy) -> tuple[Places, RunConfig]:
    """Write the first entry of a model's ledger.

    Raises: ConfigError if there is a model of that name, or the configuration or its data cannot be used.
    """
    check_model_name(model)
    values = overridden(read_yaml(file), overrides)
    values.pop("name", None)
    named = merge(values, {"tracking": {"registry_name": model}})
    config = absolute(config_from(named))
    places = Places(config.store, model)
    check_not_unlearned(model, config)
    manifest = checked_workspace(config).reader.manifest
    content = yaml.safe_dump(masked_settings(_as_written(named, config)), sort_keys=True).encode()
    digest = sha256_hex(content)

    def first(entries: Sequence[Entry]) -> Mapping[str, Any]:
        if entries:
            raise ConfigError(
                f"MODEL: {model} was opened before, on {entries[0].time}; give its requests with `cu requests add "
                f"{model}`, or choose another name."
            )
        new_salt(places.salt)
        with contextlib.suppress(FileExistsError):  # left by one that was killed; the name is its digest
            create(places.settings(digest), content)
        return {
            "kind": "opened",
            "settings": digest,
            "data": {"path": config.data.path, "digest": manifest.digest},
            "original": f"models/{config.original_key(manifest.digest)}",
            "retrain_when": policy.written(),
        }

    places.ledger.append(first)
    return places, config


def _as_written(values: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    """The settings without the request, places absolute. Parts with the values of the preset are left out, so that
    requests of another kind get those of their kind."""
    kept = dict(values)
    for part in BY_PRESET:
        name = {"name": kept[part]["name"]} if part == "method" and "name" in kept.get(part, {}) else None
        less = {k: v for k, v in kept.items() if k != part} | ({part: name} if name else {})
        if part in kept and getattr(config_from(less), part) == getattr(config, part):
            kept = less
    kept.pop("request", None)
    found: dict[str, Any] = {"storage": config.storage, "data": {"path": config.data.path}}
    model = {key: getattr(config.model, key) for key in ("weights", "name", "start")}
    found["model"] = {key: value for key, value in model.items() if value is not None}
    found["audit"] = {"other_data": list(config.audit.other_data)} if config.audit.other_data else {}
    return merge(kept, found)


def written_settings(places: Places, state: State) -> dict[str, Any]:
    """The settings that the model was opened with.

    Raises: DamagedFile if they are not those that the ledger names.
    """
    digest = state.opened.fields["settings"]
    path = places.settings(digest)
    if not fetched(path) or sha256_hex(path.read_bytes()) != digest:
        raise DamagedFile(f"{path} is missing or was changed since the model was opened; bring it from a copy.")
    values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    return merge(values, {"storage": shown(places.store)})


def config_for(values: Mapping[str, Any], request: Mapping[str, Any]) -> RunConfig:
    """The configuration of a request to the model."""
    return absolute(config_from({**values, "request": dict(request)}))
