"""Sweep files for tests."""

from __future__ import annotations

from pathlib import Path

import yaml

SPACE = {"optimizer.lr": {"loguniform": [0.001, 0.1]}}


def write(folder: Path, **parts: object) -> Path:
    """Write a base with one oracle and a sweep of the learning rate, changed by ``parts`` (``None``: left out)."""
    (folder / "base.yaml").write_text(yaml.safe_dump({"audit": {"oracles": 1}}))
    request = {"kind": "by_class", "classes": [7]}
    values = {"base": "base.yaml", "tuning": {"request": request}, "space": SPACE, "trials": 4, **parts}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    return path
