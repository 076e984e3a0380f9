"""What a command imports decides how soon it answers: modules are asserted, not seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.requests.intake import add_request
from tests.unit.pipelines.requests.answered import opened

HEAVY = {"torch", "ray", "mlflow", "pandas", "matplotlib", "scipy", "sklearn", "torchvision", "pyarrow.dataset"}
RUN = """
import sys
sys.argv = ["cu", *sys.argv[1:]]
from pipelines.cli.main import main
try:
    main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
COMMANDS = (
    "unlearn", "train", "audit", "audit-strong", "explain", "schema", "calibrate", "compare", "repeat", "sweep",
    "score", "export", "methods", "submit", "jobs", "stop", "data pack", "data inspect", "data verify", "bench step",
    "bench scaling", "bench start", "quickstart", "requests", "requests open", "requests add", "requests list",
    "requests show", "requests cancel", "requests run", "requests status", "requests roll-back", "requests certificate",
    "requests verify", "requests purge",
)  # fmt: skip


def imported(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=False)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", ["", *COMMANDS])
def test_help_imports_nothing_heavy(words: str) -> None:
    assert not HEAVY & imported(*words.split(), "--help")


def test_listing_methods_imports_nothing_heavy() -> None:
    assert not HEAVY & imported("methods")
    assert not HEAVY & imported("methods", "scrub")


def test_listing_jobs_imports_nothing_heavy() -> None:
    assert not HEAVY & imported("jobs", "--address", "http://127.0.0.1:9")


def test_looking_at_data_imports_nothing_heavy(digits: Path) -> None:
    modules = imported("data", "inspect", str(digits))
    assert "cu_core.data.shard_reader" in modules
    assert not HEAVY & modules


def test_looking_at_requests_imports_nothing_heavy(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    add_request(places, {"kind": "by_class", "classes": [5]})
    for words in ("list", "show faces-1", "status faces"):
        modules = imported("requests", *words.split(), "--storage", str(places.store))
        assert "pipelines.requests.listing" in modules
        assert not HEAVY & modules, words


def test_a_model_that_is_not_there_is_found_before_anything_heavy(tmp_path: Path) -> None:
    for command in ("add faces --class 5", "status faces", "run faces-1 --local", "show faces-1", "roll-back faces"):
        assert not HEAVY & imported("requests", *command.split(), "--storage", str(tmp_path))


@pytest.mark.parametrize("command", ["unlearn", "train", "compare", "sweep", "repeat", "audit-strong", "bench step"])
def test_a_file_that_is_not_there_or_is_no_yaml_is_found_before_anything_heavy(command: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    for file in (tmp_path / "absent.yaml", broken):
        assert not HEAVY & imported(*command.split(), str(file))


def test_a_misspelt_key_imports_torch_and_little_else(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("methd: {name: scrub}")
    assert not (HEAVY - {"torch"}) & imported("unlearn", str(file))
