"""MLflow's file: made whole, by one; half made, made again; something else, told in a line."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from cu_core.errors import ConfigError
from pipelines.tracking.sqlite_file import file_of, make_ready, sqlite_uri

MAKE = (
    "import sys; from pathlib import Path; from pipelines.tracking.sqlite_file import make_ready\n"
    "print(make_ready(Path(sys.argv[1]), 'file:///nowhere'))"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("made") / "mlflow.db"
    assert make_ready(file, "file:///nowhere")
    return file


def copy(made: Path, folder: Path) -> Path:
    (folder / "mlflow.db").write_bytes(made.read_bytes())
    return folder / "mlflow.db"


def test_two_processes_in_a_new_folder_make_it_once(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    command = [sys.executable, "-c", MAKE, str(file)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100) for process in both]
    assert sorted(out.strip() for out, _ in said) == ["False", "True"], said
    assert sorted(os.listdir(tmp_path)) == [".mlflow.db.lock", "mlflow.db"]


@pytest.mark.parametrize("state", ["empty", "first tables", "before the last migration"])
def test_a_half_made_file_without_runs_is_made_again(state: str, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    if state == "before the last migration":
        copy(made, tmp_path)
    with sqlite3.connect(file) as half:
        if state == "first tables":
            half.execute("create table experiments (a int)")
        if state == "before the last migration":
            half.execute("update alembic_version set version_num = '451aebb31d03'")
            half.execute("drop table registered_models")
    assert make_ready(file, "file:///nowhere")
    assert MlflowClient(sqlite_uri(file)).get_experiment_by_name("Default") is not None


def test_a_file_that_holds_runs_is_never_made_again(made: Path, tmp_path: Path) -> None:
    file = copy(made, tmp_path)
    with sqlite3.connect(file) as old:
        old.execute("insert into runs (run_uuid, experiment_id) values ('a', 0)")
        old.execute("update alembic_version set version_num = '451aebb31d03'")
    before = file.read_bytes()
    assert not make_ready(file, "file:///nowhere")
    assert file.read_bytes() == before


def test_what_is_no_database_is_told_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"garbage " * 100)
    with pytest.raises(ConfigError, match="cannot be used as MLflow's file .*not a database"):
        make_ready(file, "")
    assert file.read_bytes() == b"garbage " * 100
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match="it is a folder"):
        make_ready(file, "")
    with pytest.raises(ConfigError, match="there is no folder"):
        make_ready(tmp_path / "nope" / "mlflow.db", "")
    assert not (tmp_path / "nope").exists()


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:nonsense"])
def test_addresses_without_a_file(uri: str) -> None:
    with pytest.raises(ConfigError, match="tracking.uri"):
        file_of(uri)


@pytest.mark.parametrize("name", ["a b", "a#b", "a?b", "a%41b"])
def test_every_name_of_a_folder_has_an_address(name: str, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    file = copy(made, folder)
    uri = sqlite_uri(file)
    assert file_of(uri).resolve() == file
    assert not make_ready(file_of(uri), "")
    client = MlflowClient(uri)
    client.create_experiment("here", "file:///nowhere")
    with sqlite3.connect(file) as found:
        assert ("here",) in found.execute("select name from experiments").fetchall()
