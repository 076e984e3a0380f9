from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.compare.config import CompareConfig
from pipelines.grid.study_file import read_base, read_values, with_settings


def test_settings_with_dots_reach_their_parts() -> None:
    found = with_settings({"optimizer": {"lr": 1.0, "name": "sgd"}}, {"optimizer.lr": 0.00001, "stop.rule": "none"})
    assert found["optimizer"]["name"] == "sgd"
    assert float(found["optimizer"]["lr"]) == 1e-5
    assert found["stop"] == {"rule": "none"}


def test_a_run_is_no_comparison_and_the_base_is_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("seed: 1")
    with pytest.raises(ConfigError, match="is no comparison: it has no key base"):
        read_values(file, [], CompareConfig, "comparison", "compare")
    with pytest.raises(ConfigError, match="the path is relative to"):
        read_base(file, "absent.yaml", {})
    (tmp_path / "base.yaml").write_text("seed: 1\nmodel: {width: 8}")
    assert read_base(file, "base.yaml", {"seed": 2}) == {"seed": 2, "model": {"width": 8}}
