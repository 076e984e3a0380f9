from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from cu_core.yaml_io import SHIPPED, config_file, merge, overridden, parse_override, read_yaml


def test_a_file_that_is_not_there_says_where_complete_ones_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"complete ones are in tune_configs/sweeps/"):
        read_yaml(tmp_path / "absent.yaml", "sweeps")
    with pytest.raises(ConfigError, match=r"is a folder; name a configuration file, as in tune_configs/base/"):
        read_yaml(tmp_path)


def test_shipped_configurations_are_found_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "tune_configs/base/digits_class.yaml"
    assert config_file(name) == SHIPPED / name
    assert config_file("tune_configs/base/absent.yaml") == Path("tune_configs/base/absent.yaml")
    assert config_file("digits_class.yaml") == Path("digits_class.yaml")
    own = tmp_path / name
    own.parent.mkdir(parents=True)
    own.write_text("seed: 1")
    assert config_file(name) == Path(name)


@pytest.mark.parametrize(("text", "message"), [("a: [1", "is not valid YAML"), ("- 1", "must hold keys and values")])
def test_what_is_no_yaml_of_keys_and_values_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "x.yaml")


def test_what_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigError, match="line 1: byte 0xe9 is no text in UTF-8; save the file as UTF-8"):
        read_yaml(tmp_path / "x.yaml")


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("")
    assert read_yaml(tmp_path / "x.yaml") == {}
    assert config_file(str(tmp_path / "x.yaml")) == tmp_path / "x.yaml"


def test_python_objects_are_not_made(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_yaml(tmp_path / "x.yaml")


def test_overrides_go_into_the_parts_and_the_last_one_wins() -> None:
    assert parse_override("a.b.c=[1, x]") == {"a": {"b": {"c": [1, "x"]}}}
    assert overridden({"a": {"b": 1, "c": 2}}, ["a.b=5", "a.b=6"]) == {"a": {"b": 6, "c": 2}}
    with pytest.raises(ConfigError, match=r"must have the form key\.path=value"):
        parse_override("a.b")


@pytest.mark.parametrize("value", ["#x", "&a", "# a note"])
def test_a_value_that_yaml_takes_for_nothing_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=f"the value must not be empty, .*quote it twice: name='\"{value}\"'"):
        parse_override(f"name={value}")
    assert parse_override(f'name="{value}"') == {"name": value}
    assert [parse_override(f"name={nothing}") for nothing in ("", "null", "~")] == [{"name": None}] * 3


def test_another_method_replaces_its_part() -> None:
    under = {"method": {"name": "scrub", "alpha": 1}, "optimizer": {"lr": 1, "name": "sgd"}}
    merged = merge(under, {"method": {"name": "ssd"}, "optimizer": {"name": "adamw"}})
    assert merged == {"method": {"name": "ssd"}, "optimizer": {"lr": 1, "name": "adamw"}}
