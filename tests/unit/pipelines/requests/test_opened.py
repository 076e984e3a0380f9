from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from cu_core.config import RunConfig
from cu_core.config_io import config_from, dump_config
from cu_core.errors import ConfigError, DamagedFile
from cu_core.storage import place
from pipelines.requests.intake import add_request
from pipelines.requests.opened import config_for, open_model, written_settings
from pipelines.requests.places import known_model
from pipelines.requests.policy import Policy
from tests.unit.pipelines.requests.answered import now, opened


def test_a_model_is_opened_once_and_its_settings_are_kept(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    fields = now(places).opened.fields
    values = written_settings(places, now(places))
    assert values["tracking"] == {"registry_name": "faces"}
    assert values["data"]["path"] == fields["data"]["path"] == str(tmp_path / "data")
    assert fields["retrain_when"] == Policy().written()
    with pytest.raises(ConfigError, match="faces was opened before"):
        open_model("faces", tmp_path / "config.yaml", [], Policy())
    assert len(places.ledger.read()) == 1


def test_settings_that_were_changed_are_refused(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    (file,) = places.ledger.folder.glob("settings-*")
    file.write_text(file.read_text() + "seed: 4\n")
    with pytest.raises(DamagedFile, match="was changed since the model was opened"):
        written_settings(places, now(places))


def test_requests_of_each_kind_get_the_preset_of_their_kind(tmp_path: Path, digits: Path) -> None:
    """Opened with the resolved configuration of a class run, which holds the values of its preset."""
    opened(tmp_path, digits)
    resolved = yaml.safe_load(dump_config(config_from(yaml.safe_load((tmp_path / "config.yaml").read_text()))))
    (tmp_path / "resolved.yaml").write_text(yaml.safe_dump(resolved))
    places, _ = open_model("others", tmp_path / "resolved.yaml", ["seed=3"], Policy())
    values = written_settings(places, now(places))

    def found(request: dict[str, object]) -> RunConfig:
        return config_for(values, request)

    rows = {"kind": "by_random", "count": 5}
    assert found(rows).stop == config_from({"request": rows}).stop
    assert found(rows).stop != found({"kind": "by_class", "classes": [5]}).stop
    assert found(rows).seed == 3


def test_values_that_differ_from_the_preset_stay(tmp_path: Path, digits: Path) -> None:
    opened(tmp_path, digits)
    places, _ = open_model("own", tmp_path / "config.yaml", ["stop.max_steps=7", "method.name=scrub"], Policy())
    values = written_settings(places, now(places))
    for request in ({"kind": "by_random", "count": 5}, {"kind": "by_class", "classes": [5]}):
        config = config_for(values, request)
        assert (config.stop.max_steps, config.method.name) == (7, "scrub")


def test_a_configuration_that_cannot_be_used_leaves_no_ledger(tmp_path: Path, digits: Path) -> None:
    opened(tmp_path, digits)
    for override in (
        "data.path=/nowhere", "methd.name=scrub", "model.name=nosuch", "audit.other_data=[/nowhere]",
        "storage=gs://bucket/place",
    ):  # fmt: skip
        with pytest.raises(ValueError):
            open_model("bad", tmp_path / "config.yaml", [override], Policy())
    assert not (tmp_path / "out" / "ledgers" / "bad").exists()


def test_the_storage_may_be_at_an_address(tmp_path: Path, digits: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        f"model: {{name: resnet10, width: 8}}\ndata: {{path: {digits}}}\nstorage: file://{tmp_path}/shared\n"
    )
    places, _ = open_model("faces", tmp_path / "config.yaml", [], Policy())
    add_request(places, {"kind": "by_class", "classes": [5]})
    assert sorted(p.name for p in (tmp_path / "shared" / "ledgers" / "faces").glob("0*")) == [
        "00000001.json", "00000002.json",
    ]  # fmt: skip
    assert (tmp_path / "shared" / "intake" / "faces" / "salt").stat().st_mode & 0o777 == 0o600
    shutil.rmtree(places.store)  # as on another machine
    elsewhere = known_model(place(f"file://{tmp_path}/shared"), "faces")
    assert now(elsewhere).pending == ["faces-1"]
    add_request(elsewhere, {"kind": "by_class", "classes": [6]})
    assert elsewhere.ledger.problems() == []
    assert now(elsewhere).pending == ["faces-1", "faces-2"]
