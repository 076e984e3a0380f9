from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cu_core.config_io import config_from
from cu_core.errors import ConfigError
from pipelines.requests import registry
from pipelines.requests import verify as verify_module
from pipelines.requests.answer import roll_back
from pipelines.requests.opened import written_settings
from pipelines.requests.places import Places
from pipelines.requests.registry import compare_registry, point_aliases
from tests.unit.pipelines.requests.answered import now
from tests.unit.pipelines.requests.conftest import Answered


def test_aliases_name_the_last_two_versions_of_the_lineage(answered: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, str | None] = {}
    monkeypatch.setattr(registry, "point_alias", lambda config, alias, weights: found.update({alias: weights}))
    monkeypatch.setattr("pipelines.requests.answer.point_aliases", lambda *given: None)
    config: Any = None
    state = now(answered.places)
    point_aliases(answered.places, state, config)
    first, second = (version.weights for version in state.versions)
    assert found == {"current": second, "previous": first}
    roll_back(answered.places)
    original = state.versions[0].entry.fields["predecessor"]["weights"]
    point_aliases(answered.places, now(answered.places), config)
    assert found == {"current": first, "previous": original}
    roll_back(answered.places)
    point_aliases(answered.places, now(answered.places), config)
    assert found == {"current": original, "previous": None}


@pytest.fixture
def registered(answered: Answered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple[str, str]]:
    """What the registry says: that which the ledger says."""
    state = now(answered.places)
    file = answered.store / state.versions[-1].folder / "model.safetensors"
    found = {"current": ("3", state.versions[1].weights), "previous": ("2", state.versions[0].weights)}
    monkeypatch.setattr(registry, "source_of", lambda config: "tracking.uri")
    monkeypatch.setattr(registry, "aliased_weights", lambda config: found)
    monkeypatch.setattr(registry, "fetch_weights", lambda config, uri: file)
    return found


def compared(answered: Answered) -> tuple[list[str], list[str]]:
    places, state = answered.places, now(answered.places)
    return compare_registry(places, state, config_from(written_settings(places, state)))


def test_a_registry_as_the_ledger_says_is_sound(
    answered: Answered, registered: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compared(answered) == ([], [])
    monkeypatch.setattr(verify_module, "compare_registry", compare_registry)
    registered["current"] = registered["previous"]
    problems = verify_module.verify(answered.certificate, answered.store, answered.key).problems
    assert [line[:24] for line in problems] == ["registry: current is ver", "registry: the weights of"]


def test_other_weights_under_an_alias_or_in_the_version_are_named(
    answered: Answered, registered: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registered["previous"] = ("1", "f" * 64)
    (problem,), notes = compared(answered)
    assert problem.startswith(
        "registry: previous is version 1, of the weights ffffffffffffffff; by the ledger they are"
    )
    assert notes == []
    del registered["previous"]
    (tmp_path / "w.safetensors").write_bytes(b"other")
    monkeypatch.setattr(registry, "fetch_weights", lambda config, uri: tmp_path / "w.safetensors")
    (problem,), _ = compared(answered)
    assert problem.startswith("registry: the weights of version 3 (current) were changed")


def test_an_alias_of_weights_without_an_entry_is_a_trace_that_is_not_to_be_erased(
    answered: Answered, registered: dict[str, tuple[str, str]]
) -> None:
    kept = dict(registered)
    registered["current"] = registered.pop("previous")  # of a command that was killed before it set them
    (problem, *_), _ = compared(answered)
    assert problem.endswith("; `cu requests run` sets the aliases anew")
    registered["previous"] = ("3", now(answered.places).versions[1].weights)  # as after a roll-back
    (_, problem, *_), _ = compared(answered)
    assert "an entry at the end of the ledger may have been removed" in problem
    registered.update(kept)
    removed = Places(answered.store, "faces")  # with the entry, what it says is gone too
    removed.ledger.path(removed.ledger.last()).unlink()
    state = now(removed)
    (problem, *_), _ = compare_registry(removed, state, config_from(written_settings(removed, state)))
    assert "an entry at the end of the ledger may have been removed" in problem


def test_a_registry_that_is_not_there_is_told_and_none_is_made(
    answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert compared(answered) == ([], ["registry: not compared, the storage has no mlflow.db"])
    assert not (answered.store / "mlflow.db").exists()

    def silent(config: Any) -> Any:
        raise ConfigError("tracking.uri: MLflow does not answer.")

    monkeypatch.setattr(registry, "source_of", lambda config: "tracking.uri")
    monkeypatch.setattr(registry, "aliased_weights", silent)
    assert compared(answered)[1] == ["registry: not compared: tracking.uri: MLflow does not answer."]
    monkeypatch.setattr(registry, "aliased_weights", lambda config: {})
    assert compared(answered)[1] == ["registry: not compared, no version of faces has the alias current"]
