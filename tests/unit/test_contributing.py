"""The example of CONTRIBUTING.md is a method that works, and lint accepts it; its layers are those of the rule."""

from __future__ import annotations

import importlib.util
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.cu_core.methods.tiny import LN3, batch, context, outputs

ROOT = Path(__file__).parents[2]


def test_the_example_of_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    file = tmp_path / "capped_ascent.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("capped_ascent", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "capped_ascent", module)
    spec.loader.exec_module(module)
    given = context(forget=outputs([[LN3, 0.0]]), retain=outputs([[LN3, 0.0], [LN3, 0.0]]))
    losses = module.CappedAscent(weight=0.5).losses(given, batch([0], [1, 1]))
    assert losses.total.item() == pytest.approx(math.log(4) - 0.5 * math.log(4 / 3))
    words = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", "--stdin-filename"]
    done = subprocess.run([*words, ROOT / "cu_core/methods/x.py", "-"], input=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_layers_are_those_of_the_rule() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rule = [
        ", ".join(f"{contract['containers'][0]}.{name}" for name in layer.split(" | "))
        for contract in contracts
        if contract["type"] == "layers"
        for layer in contract["layers"]
    ]
    (told,) = re.findall(r"```text\n(pipelines.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert told.splitlines() == rule


def test_every_module_has_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {c["containers"][0] for c in contracts if c.get("exhaustive")} == {"cu_core", "pipelines"}
