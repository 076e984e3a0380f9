from __future__ import annotations

import random
from pathlib import Path

import pytest

from cu_core.errors import DataError
from tests.hostile import fuzz_shards


def test_a_short_run_finds_nothing() -> None:
    assert fuzz_shards.run(1.0, seed=7) > 0


def test_a_fault_names_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(rng: random.Random, seeds: Path, work: Path) -> None:
        raise KeyError("x")

    def refuses(rng: random.Random, seeds: Path, work: Path) -> None:
        raise DataError("no")

    monkeypatch.setattr(fuzz_shards, "write_seeds", lambda folder: None)
    monkeypatch.setattr(fuzz_shards, "CHECKS", {"good": refuses, "bad": fails})
    with pytest.raises(AssertionError, match=r"KeyError\('x'\); to repeat: .*fuzz_shards 6 bad"):
        fuzz_shards.run(60.0, seed=5)
