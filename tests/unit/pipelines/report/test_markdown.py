"""Files that are written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.report.markdown import check_out


def test_only_tables_of_this_program_are_written_over(tmp_path: Path) -> None:
    check_out(tmp_path / "new.md")
    (tmp_path / "table.md").write_text("```\ncu compare x.yaml\n```\n")
    check_out(tmp_path / "table.md")
    with pytest.raises(ConfigError, match="is no table of this program"):
        check_out(Path("README.md"))
