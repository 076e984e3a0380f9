from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from tests.unit.pipelines.commands import Cu


def test_repeat_passes_on_what_varies(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    with patch("pipelines.grid.repeat.run_repeat", autospec=True) as run:
        assert cu("repeat", run_file).status == 0
        cu("repeat", run_file, "seed=1", "--vary", "a=1|2", "--vary", "b=[1]|[2]", "--out", tmp_path / "t.md")
    assert [call.args for call in run.call_args_list] == [
        (run_file, [], [], None),
        (run_file, ["seed=1"], ["a=1|2", "b=[1]|[2]"], tmp_path / "t.md"),
    ]


def test_compare_passes_on_methods_and_settings(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    with patch("pipelines.compare.command.compare", autospec=True) as run:
        assert cu("compare", run_file).status == 0
        cu("compare", run_file, "seeds=[0]", "--methods", "scrub,contrastive default", "--out", tmp_path / "t.md")
        cu("compare", run_file, "--methods", "")
    assert [call.args for call in run.call_args_list] == [
        (run_file, [], None, None),
        (run_file, ["seeds=[0]"], tmp_path / "t.md", ["scrub", "contrastive default"]),
        (run_file, [], None, [""]),  # no method of that name; it is not: all methods
    ]


def test_reproduce_takes_settings_in_place_of_a_file(cu: Cu, tmp_path: Path) -> None:
    with patch("pipelines.compare.paper.reproduce", autospec=True) as run:
        assert cu("compare", "--reproduce", "paper").status == 0
        cu("compare", "seeds=[4]", "set.storage=x", "--reproduce", "paper", "--out", tmp_path / "t.md")
    assert [call.args for call in run.call_args_list] == [
        ([], None),
        (["seeds=[4]", "set.storage=x"], tmp_path / "t.md"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a comparison, e.g. tune_configs/compare/digits.yaml, or give --reproduce paper."),
        (["absent.yaml"], "no configuration file absent.yaml; complete ones are in tune_configs/compare/."),
        (["a.yaml", "--reproduce", "paper"], "--reproduce takes settings alone (KEY.PATH=VALUE), not 'a.yaml'."),
        (["seed=1", "b", "--reproduce", "paper"], "--reproduce takes settings alone (KEY.PATH=VALUE), not 'b'."),
    ],
)
def test_what_is_no_comparison_is_refused_in_one_line(words: list[str], message: str, cu: Cu) -> None:
    with (
        patch("pipelines.compare.paper.reproduce", autospec=True) as paper,
        patch("pipelines.compare.command.compare", autospec=True) as run,
    ):
        ran = cu("compare", *words)
    assert (ran.status, ran.err) == (2, f"cu: {message}\n")
    paper.assert_not_called()
    run.assert_not_called()


def test_another_paper_is_refused(cu: Cu) -> None:
    ran = cu("compare", "--reproduce", "another")
    assert ran.status == 2
    assert "'another' is not" in ran.err
