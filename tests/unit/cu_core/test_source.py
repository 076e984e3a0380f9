"""Which keys an edit of the source changes, on copies of the tree, as new processes see them."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cu_core
from cu_core.methods.table import METHODS
from cu_core.source import CODE, ELSEWHERE, modules_of

METHOD_MODULES = sorted(method.__module__ for method in METHODS.values())
ASK = """
import json, sys, time
from cu_core.source import source_digest
began = time.process_time()
found = {product: source_digest(product) for product in ("trained", "figures", "report")}
found |= {module: source_digest("unlearned", module) for module in sys.argv[1:]}
print(json.dumps([found, time.process_time() - began]))
"""
EVERYTHING = {"trained", "figures", "report", *METHOD_MODULES}
AUDITS = {"figures", "report"}


def ask(place: Path, code: str = ASK, *words: str) -> list[object]:
    """What a process finds whose code lies in a folder or zip file."""
    done = subprocess.run(
        [sys.executable, "-c", code, *(words or METHOD_MODULES)],
        env={**os.environ, "PYTHONPATH": str(place)},
        cwd=place.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[object] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    digests, _ = ask(Path(cu_core.__file__).parents[1])
    return digests  # type: ignore[return-value]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ours = Path(cu_core.__file__).parent
    return Path(shutil.copytree(ours, tmp_path / "tree" / "cu_core", ignore=shutil.ignore_patterns("*.pyc"))).parent


def users_of(*modules: str) -> set[str]:
    """Methods whose modules import something of one of these, found in another way than by the code under test."""

    def reaches(name: str, seen: set[str]) -> bool:
        if name in modules:
            return True
        seen.add(name)
        values = vars(importlib.import_module(name)).values()
        around = {getattr(value, "__module__", None) for value in values} - seen
        return any(reaches(m, seen) for m in around if m and m.startswith("cu_core.methods."))

    return {module for module in METHOD_MODULES if reaches(module, set())}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("methods/scrub.py", {"cu_core.methods.scrub"}),
        ("methods/random_label.py", users_of("cu_core.methods.random_label")),
        ("methods/base.py", EVERYTHING),
        ("unlearn/stopping.py", set(METHOD_MODULES)),
        ("unlearn/loop.py", EVERYTHING),
        ("run.py", EVERYTHING),
        ("audit/representation.py", AUDITS),
        ("metrics/membership.py", AUDITS),
        ("audit/verdict.py", {"report"}),
        ("presets.py", set()),
        ("storage.py", set()),
    ],
)
def test_an_edit_changes_the_keys_of_what_it_computes(
    file: str, changed: set[str], copy: Path, before: dict[str, str]
) -> None:
    with (copy / "cu_core" / file).open("a") as source:
        source.write("\nNEW = 1\n")
    after, _ = ask(copy)
    assert {name for name in before if after[name] != before[name]} == changed  # type: ignore[index]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("methods/forests.py", "TREES = 200", "TREES = 201"),
        ("methods/forests.py", "SHARPNESS = 2.0", "SHARPNESS = 2.1"),
        ("methods/contrastive.py", "LOOSENED = 1.12", "LOOSENED = 1.13"),
    ],
)
def test_constants_of_a_method_are_in_its_keys(
    file: str, old: str, new: str, copy: Path, before: dict[str, str]
) -> None:
    path = copy / "cu_core" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    after, _ = ask(copy)
    assert after["cu_core.methods.contrastive"] != before["cu_core.methods.contrastive"]  # type: ignore[index]
    assert after["trained"] == before["trained"]  # type: ignore[index]


def test_comments_docstrings_layout_and_place_change_nothing(copy: Path, before: dict[str, str]) -> None:
    for path in copy.rglob("*.py"):
        text = re.sub('"""(?=[A-Z])', '"""Also: ', path.read_text())
        text = text.replace("\n    def ", "\n\n    # a comment\n    def ")
        path.write_text(text.replace("\n", "\r\n"), newline="")
    assert sum("Also" in path.read_text() for path in copy.rglob("*.py")) > 50
    after, _ = ask(copy)
    assert after == before


def test_a_zip_file_gives_the_same(copy: Path, before: dict[str, str]) -> None:
    packed = Path(shutil.make_archive(str(copy.parent / "sent"), "zip", copy))
    after, seconds = ask(packed)
    assert after == before
    assert float(seconds) < 2  # type: ignore[arg-type]  # 0.15 s where nothing else runs


def test_nothing_of_the_audit_counts_for_a_trained_model() -> None:
    found = modules_of((CODE["trained"].entry,), frozenset({*ELSEWHERE, *CODE["trained"].without}))
    assert {"cu_core.run", "cu_core.unlearn.loop", "cu_core.methods.finetune", "cu_core.data.loader"} <= found.keys()
    assert not [name for name in found if name.startswith(("cu_core.audit", "cu_core.metrics"))]
    methods = {name for name in found if name.startswith("cu_core.methods.")}
    names = ("base", "bank", "encoder", "finetune", "fit", "objectives")
    assert methods == {f"cu_core.methods.{name}" for name in names}


def test_names_of_modules_that_are_left_out_are_those_of_modules() -> None:
    root = Path(cu_core.__file__).parents[1]
    named = [*ELSEWHERE, *(name for code in CODE.values() for name in (code.entry, *code.without))]
    for name in named:
        path = root / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name


OWN = """
import json, sys
from cu_core.source import own_source_digest
print(json.dumps([own_source_digest(sys.argv[1])]))
"""


def test_a_users_own_model_counts_with_what_it_imports(copy: Path) -> None:
    mine = copy / "mine"
    mine.mkdir()
    (mine / "__init__.py").touch()
    (mine / "net.py").write_text("from .layers import WIDTH\n")
    (mine / "layers.py").write_text("WIDTH = 3\n")
    (mine / "other.py").write_text("A = 1\n")
    first = ask(copy, OWN, "mine.net")
    (mine / "other.py").write_text("A = 2\n")
    assert ask(copy, OWN, "mine.net") == first
    (mine / "layers.py").write_text("WIDTH = 4\n")
    assert ask(copy, OWN, "mine.net") != first
