from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.config_io import as_plain, config_from, load_config
from cu_core.errors import ConfigError
from cu_core.removed import KEYS, VALUES


@pytest.mark.parametrize("path", KEYS)
def test_a_removed_setting_says_what_took_its_place(path: str) -> None:
    with pytest.raises(ConfigError, match=f"^{path}: this setting was removed; .*\\.$"):
        load_config(None, [f"{path}=1"])


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, removed in VALUES.items() for value in removed])
def test_a_removed_value_says_what_took_its_place(path: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{path}: the value {value} was removed; use method.pull_weights=forests.$"):
        load_config(None, [f"{path}={value}"])


def test_an_older_file_is_told_too(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("method: {name: contrastive, queue_size: 64}\n")
    with pytest.raises(ConfigError, match="method.queue_size"):
        load_config(file)


def test_records_keep_internal_settings_and_files_of_users_may_not(tmp_path: Path) -> None:
    config = config_from({"seed": 3}, {"audit": {"report_on": "stop"}, "data": {"half": 1}})
    plain = as_plain(config)
    assert (plain["audit"]["report_on"], plain["data"]["half"]) == ("stop", 1)
    assert "report_on" not in as_plain(config_from({}))["audit"]
    file = tmp_path / "config.yaml"
    file.write_text("audit: {report_on: stop}\ndata: {half: 1}\n")
    assert load_config(file, record=True).audit.report_on == "stop"
    assert load_config(file, record=True).data.half == 1
    with pytest.raises(ConfigError, match="audit.report_on|data.half"):
        load_config(file)
