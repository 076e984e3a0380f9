from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cu_core.config import RunConfig
from cu_core.workspace import Workspace
from pipelines.compare.config import read_comparison
from pipelines.compare.digests import check_unmixed, settings_digest
from pipelines.compare.page import write_files
from pipelines.compare.run import ComparisonResult
from pipelines.grid.cells import Failure
from tests.unit.pipelines.reports import compared, report


@pytest.fixture
def finished(tmp_path: Path) -> ComparisonResult:
    outcomes = {"finetune": partial(report, gap=0.2), "scrub": partial(report, gap=1.0)}
    return compared(tmp_path, "{finetune: {}, scrub: {}}", outcomes)


def test_another_default_is_another_digest(finished: ComparisonResult, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {label: settings_digest(finished.comparison, label) for label in ("finetune", "scrub")}
    monkeypatch.setitem(__import__("cu_core.presets").presets.METHOD_LR["class"], "scrub", 0.5)
    after = {label: settings_digest(finished.comparison, label) for label in ("finetune", "scrub")}
    assert before["finetune"] == after["finetune"]
    assert before["scrub"] != after["scrub"]


def test_cells_of_two_settings_do_not_stand_in_one_page(finished: ComparisonResult, tmp_path: Path) -> None:
    check_unmixed(finished)
    result = finished.results[1]
    config = result.cell.plan.config
    other = replace(config, optimizer=replace(config.optimizer, lr=0.77))
    cell = replace(result.cell, plan=replace(result.cell.plan, workspace=Workspace(other)))
    mixed = [*finished.results[:1], replace(result, cell=cell, outcome=report(other)), *finished.results[2:]]
    with pytest.raises(ValueError, match="methods.finetune: .* have different settings"):
        write_files(replace(finished, results=mixed), "cu compare c.yaml", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_found_cell_of_a_former_default_is_refused(tmp_path: Path) -> None:
    def former(config: RunConfig) -> object:
        return report(replace(config, optimizer=replace(config.optimizer, lr=0.77)))

    made = compared(tmp_path, "{finetune: {}}", {"finetune": former})
    with pytest.raises(ValueError, match="was made with other settings than it is asked for; remove that folder"):
        write_files(made, "cu compare c.yaml", tmp_path / "page")


def test_steps_may_follow_from_the_size_of_a_request_and_other_settings_may_not(finished: ComparisonResult) -> None:
    first, second = finished.results[:2]

    def changed(**stop: object) -> ComparisonResult:
        config = second.cell.plan.config
        config = replace(config, stop=replace(config.stop, **stop))  # type: ignore[arg-type]
        cell = replace(second.cell, plan=replace(second.cell.plan, workspace=Workspace(config)))
        return replace(finished, results=[first, replace(second, cell=cell, outcome=Failure("step 1"))])

    check_unmixed(changed(max_steps=7, check_every=3, further_steps=2))
    with pytest.raises(ValueError, match="finetune class 1 seed 0 and finetune class 1 seed 1 have different settings"):
        check_unmixed(changed(patience=9))


def test_a_digest_is_of_settings_budget_and_ranges_and_not_of_what_they_are_run_on(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("request: {kind: by_class}\n")
    path = tmp_path / "c.yaml"
    path.write_text(
        "base: base.yaml\nbudget_rows: 5000\nrequests: {class: [{classes: [5]}]}\n"
        "methods: {scrub: {}, other: {set: {method: {name: scrub}}}, "
        "long: {published: true, budget_rows: 9000, set: {method: {name: scrub}}}}\n"
    )

    def digest(*overrides: str, label: str = "scrub") -> str:
        return settings_digest(read_comparison(path, overrides), label)

    tuning = "tuning={trials: 2, seeds: [9], requests: [{classes: [7]}]}"
    search = "methods={scrub: {search: {method.alpha: {uniform: [0.1, 1.0]}}}, other: {published: true}}"
    assert len(digest()) == 8
    assert digest("seeds=[7]") == digest("requests.class=[{classes: [4]}]") == digest(label="other") == digest()
    assert digest("budget_rows=6000", label="long") == digest(label="long")  # its own budget
    changes = [("budget_rows=6000",), ("set.optimizer.lr=0.5",), (tuning, search)]
    assert len({digest(), digest(label="long"), *(digest(*words) for words in changes)}) == 5


def test_scores_that_are_not_made_yet_do_not_matter(finished: ComparisonResult, tmp_path: Path) -> None:
    comparison = read_comparison(tmp_path / "c.yaml", ["requests={score: [{kind: by_score, count: 9}]}"])
    assert len(settings_digest(comparison, "scrub")) == 8
