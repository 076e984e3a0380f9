"""Names of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.errors import ConfigError
from cu_core.files import file_sha256
from pipelines.run import folder as module
from pipelines.run.folder import RunFolder, begin_run, check_name, find_run
from pipelines.run.lock import run_lock


def begun(config: RunConfig) -> tuple[RunConfig, RunFolder]:
    config, folder = find_run(config, "d" * 16, None)
    begin_run(config, folder, "d" * 16)
    return config, folder


@pytest.mark.parametrize("name", ["../up", "a/b", "", " a", "a b", "-x", "a'b"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must begin with"):
        check_name(name)


def test_a_run_is_named_after_its_data_whatever_they_are_called(tmp_path: Path) -> None:
    config = config_from({"storage": str(tmp_path), "data": {"path": "data/my photos (2024)"}})
    named, _ = begun(config)
    assert str(named.name).startswith("my-photos--2024-by_class-")
    again, _ = find_run(config, "d" * 16, named.name)
    assert again.name == named.name


def test_a_run_of_other_settings_says_which(tmp_path: Path) -> None:
    config = config_from({"storage": str(tmp_path), "name": "a"})
    begun(config)
    other = config_from({"storage": str(tmp_path), "seed": 3, "workers": {"count": 2}})
    with pytest.raises(ConfigError, match=r"another configuration \(seed was 0, is 3\); use "):
        find_run(other, "e" * 16, "a")
    with pytest.raises(ConfigError, match=r"another configuration \(other data, or another version"):
        find_run(config, "e" * 16, "a")


def test_what_is_resumed_is_a_name(tmp_path: Path) -> None:
    config = config_from({"storage": str(tmp_path), "name": "a"})
    begun(config)
    for path in ("../runs/a", str(tmp_path / "runs" / "a"), ""):
        with pytest.raises(ConfigError, match="--resume: must begin with a letter, digit or _ and hold these"):
            find_run(config, "d" * 16, path)


def test_a_run_appears_with_its_record_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a kill leaves does not block the name."""
    config = config_from({"storage": str(tmp_path), "name": "a"})
    monkeypatch.setattr(module, "dump_config", lambda config: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        begun(config)
    monkeypatch.undo()
    assert not (tmp_path / "runs" / "a").exists()
    _, folder = begun(config)
    sha256 = file_sha256(folder.path / "config.yaml")
    assert folder.record() == {"config_digest": "d" * 16, "config_sha256": sha256}


def test_of_two_that_take_a_name_at_once_one_is_refused(tmp_path: Path) -> None:
    config = config_from({"storage": str(tmp_path), "name": "a"})
    named, folder = find_run(config, "d" * 16, None)
    begun(config)
    with pytest.raises(ConfigError, match=r"a run 'a' exists and was interrupted; go on with --resume a, or choose"):
        begin_run(named, folder, "d" * 16)


def test_a_name_in_use_is_told_with_its_state(tmp_path: Path) -> None:
    config = config_from({"storage": str(tmp_path), "name": "a"})
    _, folder = begun(config)
    with (
        run_lock(folder.path),
        pytest.raises(ConfigError, match=r"exists and is running \(process \d+ on .+\); wait for it, or"),
    ):
        find_run(config, "d" * 16, None)
    with pytest.raises(ConfigError, match="was interrupted"):
        find_run(config, "d" * 16, None)
    (folder.path / "result.json").write_text("{}")
    with pytest.raises(ConfigError, match="is finished; choose another"):
        find_run(config, "d" * 16, None)
    (tmp_path / "runs" / "b").mkdir()
    with pytest.raises(ConfigError, match="runs/b exists and is no run; move it away"):
        find_run(config_from({"storage": str(tmp_path), "name": "b"}), "d" * 16, None)
