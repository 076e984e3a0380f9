from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.yaml_io import config_file
from pipelines.compare import paper
from pipelines.compare.config import read_comparison
from pipelines.compare.paper import (
    CIFAR10_CLASS,
    CIFAR10_SAMPLES,
    CIFAR10_SAMPLES_TEXT,
    CLASS_ROWS,
    DIFFERENCES,
    DataSet,
    Table,
    _course,
    _seconds,
    _shown,
    _test_accuracy,
    _value,
    find_data,
    lay_out,
    reproduce,
)
from pipelines.grid.cells import Failure
from tests.unit.pipelines.reports import report

HISTORY = [{"step": 4, "forget": 0.5}, {"step": 8, "forget": 0}, {"step": 12, "forget": 0}]


def data_set(name: str = "cifar10", **outcomes: Any) -> DataSet:
    results = [SimpleNamespace(method=method, outcome=outcome) for method, outcome in outcomes.items()]
    part: Any = SimpleNamespace(results=results)
    return DataSet(name, {"class": part, "samples": part})


def ours(history: Any = HISTORY) -> Any:
    return report(RunConfig(), stop={"history": history})


def packed(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").touch()


def test_the_papers_data_go_before_the_one_that_stands_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"none of cifar10, svhn, fashion-mnist is in {tmp_path}; e.g. cu data pack"):
        find_data(tmp_path)
    packed(tmp_path, "fashion-mnist")
    assert find_data(tmp_path) == ["fashion-mnist"]
    packed(tmp_path, "svhn")
    assert find_data(tmp_path) == ["svhn"]
    packed(tmp_path, "cifar10")
    assert find_data(tmp_path) == ["cifar10", "svhn"]


def test_retrain_is_the_mean_of_the_oracles_and_others_are_their_models() -> None:
    reports = data_set(contrastive_paper=ours(), scrub=ours(), unsir=Failure("step 1")).reports("class")
    assert set(reports) == {"contrastive_paper", "scrub"}  # what diverged has no figures
    assert _value(reports, "scrub", "test_accuracy") == 10.0
    assert _value(reports, "retrain", "test_accuracy") == 5.0
    assert _value(reports, "unsir", "test_accuracy") is None
    assert _value(reports, "scrub", "absent") is None
    assert _value({}, "retrain", "test_accuracy") is None
    assert [_seconds(reports, m) for m in ("retrain", "contrastive_paper")] == ["60.0", "1.0"]
    assert _seconds({}, "retrain") == "-"
    assert _shown(1.234, None) == "1.23 / -"


def test_a_table_has_the_published_figures_beside_ours() -> None:
    rows = ("retrain", "contrastive_paper", "fisher")
    table = Table("T", rows, {"A": (86.96, 85.79)}, "class", _test_accuracy)
    text = table.text([data_set("cifar10", contrastive_paper=ours()), data_set("svhn")])
    assert text == (
        "**T**\n\n| method | paper, A | here, cifar10 | here, svhn |\n|---|---|---|---|\n"
        "| retrain | 86.96 | 5.00 | - |\n| contrastive_paper | 85.79 | 10.00 | - |\n| fisher | - | - | - |"
    )


def test_a_table_of_one_data_set_says_where_it_was_not_run() -> None:
    table = Table("T", ("retrain",), {}, "class", _test_accuracy, only="svhn")
    both = [data_set("cifar10", contrastive_paper=ours()), data_set("svhn", contrastive_paper=ours())]
    assert "here, svhn" in table.text(both)
    assert "here, cifar10" not in table.text(both)
    assert "Not run here" not in table.text(both)
    assert table.text(both[:1]).endswith("\n\nNot run here: the data is not on disk.")


def test_the_course_is_the_first_step_without_a_recognised_row() -> None:
    sets = [
        data_set("cifar10", contrastive_paper=ours()),
        data_set("svhn", contrastive_paper=ours(HISTORY[:1])),
        data_set("fashion-mnist"),
    ]
    ends = [line.split(" | ")[1] for line in _course(sets).splitlines()[-3:]]
    assert ends == ["8 |", "not reached |", "not reached |"]


def test_published_figures_stand_with_the_methods_they_are_of() -> None:
    assert {len(figures) for figures in CIFAR10_CLASS.values()} == {len(CLASS_ROWS)}
    assert dict(zip(CIFAR10_SAMPLES, CIFAR10_SAMPLES_TEXT, strict=True))["gradient_ascent"] == "68.23 / 92.60"


def test_the_page_holds_seven_tables_and_the_differences() -> None:
    text = lay_out([data_set("cifar10", contrastive_paper=ours())])
    assert text.startswith("```\ncu ")
    assert [n for n in range(1, 9) if f"\n**{n}." in text] == [1, 2, 3, 4, 5, 6, 7]
    assert all(f"- {line}\n" in text for line in DIFFERENCES)
    assert "| scrub | 83.91 | 82.22 | 84.44 | 85.03 | - |" in text


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Names, files and settings of the comparisons that are run; nothing is trained."""
    seen: list[tuple[Any, ...]] = []

    def run(comparison: Any, name: str) -> tuple[Any, Path]:
        seen.append((name, comparison.config.budget_rows, comparison.config.set["data"]["path"]))
        return SimpleNamespace(results=[]), tmp_path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paper, "run_tracked", run)
    return seen


def test_every_packed_data_set_is_run_by_class_and_by_samples(
    asked: list[tuple[Any, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed(tmp_path / "data", "cifar10", "svhn")
    reproduce([], tmp_path / "p.md")
    rows = {part: read_comparison(config_file(file)).config.budget_rows for part, file in paper.FILES.items()}
    assert asked == [
        (f"paper {part} {name}", rows[part], f"data/{name}")
        for name in ("cifar10", "svhn")
        for part in ("class", "samples")
    ]
    assert (tmp_path / "p.md").read_text() + "\n" == capsys.readouterr().out


def test_the_stand_in_has_a_budget_of_its_own_which_settings_replace(
    asked: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    packed(tmp_path / "data", "fashion-mnist")
    reproduce([], None)
    reproduce(["budget_rows=9000"], None)
    assert [rows for _, rows, _ in asked] == [20480, 40960, 9000, 9000]


def test_several_seeds_are_refused_before_anything_runs(asked: list[tuple[Any, ...]], tmp_path: Path) -> None:
    packed(tmp_path / "data", "svhn")
    with pytest.raises(ConfigError, match=r"--reproduce uses one seed, as the paper does; give seeds=\[N\]"):
        reproduce(["seeds=[0, 1]"], None)
    assert asked == []
