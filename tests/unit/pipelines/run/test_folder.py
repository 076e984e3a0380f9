"""Names of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.config_io import config_from
from cu_core.errors import ConfigError
from pipelines.run.folder import check_name, open_run


@pytest.mark.parametrize("name", ["../up", "a/b", "", " a", "a b", "-x", "a'b"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must begin with"):
        check_name(name)


def test_a_run_is_named_after_its_data_whatever_they_are_called(tmp_path: Path) -> None:
    config = config_from({"storage": str(tmp_path), "data": {"path": "data/my photos (2024)"}})
    named, _ = open_run(config, "d" * 16, None)
    assert str(named.name).startswith("my-photos--2024-by_class-")
    again, _ = open_run(config, "d" * 16, named.name)
    assert again.name == named.name


def test_a_run_of_other_settings_says_which(tmp_path: Path) -> None:
    config = config_from({"storage": str(tmp_path), "name": "a"})
    open_run(config, "d" * 16, None)
    other = config_from({"storage": str(tmp_path), "seed": 3, "workers": {"count": 2}})
    with pytest.raises(ConfigError, match=r"another configuration \(seed was 0, is 3\); use "):
        open_run(other, "e" * 16, "a")
    with pytest.raises(ConfigError, match=r"another configuration \(other data, or another version"):
        open_run(config, "e" * 16, "a")
