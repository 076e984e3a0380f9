from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.requests.places import Places, known_model, models_in, of_request


def ledger(store: Path, model: str) -> None:
    Places(store, model).ledger.append(lambda entries: {"kind": "opened"})


def test_a_request_is_called_by_model_and_number(tmp_path: Path) -> None:
    ledger(tmp_path, "my-faces")
    (tmp_path / "ledgers" / "begun").mkdir()  # its first writer was killed
    assert models_in(tmp_path) == ["my-faces"]
    assert of_request(tmp_path, "my-faces-12").model == "my-faces"


@pytest.mark.parametrize("name", ["faces", "faces-0", "faces-x", "", "-1", "12"])
def test_what_is_no_id_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a request is called MODEL-NUMBER"):
        of_request(tmp_path, name)


def test_a_list_with_commas_and_the_name_of_a_model_are_no_id(tmp_path: Path) -> None:
    ledger(tmp_path, "x-1")
    with pytest.raises(ConfigError, match="several are named one by one, got 'x-1-3,x-1-8'"):
        of_request(tmp_path, "x-1-3,x-1-8")
    with pytest.raises(ConfigError, match="e.g. x-1-3, got the model 'x-1'"):
        of_request(tmp_path, "x-1")
    ledger(tmp_path, "x")
    assert of_request(tmp_path, "x-1").model == "x"


def test_an_unknown_model_is_told_with_those_there(tmp_path: Path) -> None:
    ledger(tmp_path, "faces")
    with pytest.raises(ConfigError, match="no model 'faxes' in .*; models there: faces"):
        known_model(tmp_path, "faxes")


@pytest.mark.parametrize("model", ["../up", "a/b", "", " ", ".hidden", "x" * 200])
def test_a_model_has_a_plain_name(tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError, match="MODEL: must begin with a letter"):
        Places(tmp_path, model)


def test_paths_are_kept_relative_to_the_storage(tmp_path: Path) -> None:
    places = Places(tmp_path, "faces")
    assert places.inside(places.run("faces-run-3") / "unlearned") == "runs/faces-run-3/unlearned"
