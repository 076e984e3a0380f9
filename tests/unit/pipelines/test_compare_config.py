from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.config_io import ConfigError, config_from
from pipelines.compare_config import Sizes, read_comparison, within_budget

CLASS = Sizes(forget=1000, retain=9000, forget_classes=1, classes=10)
CONFIGS = sorted((Path(__file__).parents[3] / "tune_configs" / "compare").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_comparisons_load_and_every_trial_of_every_method_is_valid(path: Path) -> None:
    head = path.read_text().splitlines()[:12]
    assert head[0].startswith(("# cu compare tune_configs/compare/" + path.name, "# cu compare --reproduce paper"))
    assert any("minutes" in line or "not run here" in line.lower() for line in head)
    comparison = read_comparison(path)
    for requests in comparison.config.requests.values():
        request = {"path": "scores.parquet", **requests[0]} if requests[0]["kind"] == "by_score" else requests[0]
        for label, competitor in comparison.config.methods.items():
            for trial in competitor.trials:
                config = comparison.cell_config(label, trial, request, 0, tuning=True, sizes=Sizes(300, 2700, 1, 10))
                assert config.audit.report_on == "stop"
                assert config.seed == 0


def test_steps_are_what_the_budget_buys_and_checks_keep_their_share() -> None:
    plain = config_from({"stop": {"max_steps": 48, "check_every": 16, "further_steps": 32}})
    # The default class method forwards 64 forget, 64 retain and 64 forget rows through the frozen original.
    kept = within_budget(plain, 9216, "contrastive", CLASS)
    assert (kept.stop.max_steps, kept.stop.check_every, kept.stop.further_steps) == (48, 16, 32)
    twice = within_budget(plain, 2 * 9216, "contrastive", CLASS)
    assert (twice.stop.max_steps, twice.stop.check_every, twice.stop.further_steps) == (96, 32, 64)
    few = within_budget(
        plain, 9216, "contrastive", Sizes(10, 9000, 1, 10)
    )  # a batch holds at most the 10 rows there are
    assert few.stop.max_steps == 9216 // (64 + 2 * 10)
    salun = config_from({"method": {"name": "salun"}})
    assert within_budget(salun, 9216, "salun", CLASS).stop.max_steps == (9216 - 1000) // 128
    with pytest.raises(
        ConfigError, match=r"methods.salun: budget_rows=999 buys no step .*forwards 1000 rows to prepare"
    ):
        within_budget(salun, 999, "salun", CLASS)


def test_drawn_requests_follow_the_seed_and_labels_name_methods(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    (tmp_path / "base.yaml").write_text("optimizer: {momentum: 0.5}\nrequest: {kind: by_class}\n")
    path.write_text(
        "base: base.yaml\nbudget_rows: 5000\nrequests: {r: [{kind: by_random, count: 9}]}\n"
        "methods:\n  finetune: {set: {optimizer: {lr: 0.5}}}\n"
        "  pull: {set: {method: {name: contrastive, terms: pull, push_weights: uniform}}}\n"
    )
    comparison = read_comparison(path, ["seeds=[4]"])
    request = comparison.config.requests["r"][0]
    one, other = (
        comparison.cell_config(m, {"optimizer.momentum": 0.1}, request, 4, tuning=False, sizes=Sizes(9, 91, 0, 10))
        for m in ("finetune", "pull")
    )
    assert one.request.seed == 4  # type: ignore[union-attr]
    assert (one.method.name, one.optimizer.lr, one.optimizer.momentum) == ("finetune", 0.5, 0.1)
    assert (other.method.name, other.method.terms) == ("contrastive", "pull")  # type: ignore[attr-defined]


def test_labels_that_mlflow_and_the_command_line_do_not_take_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    (tmp_path / "base.yaml").write_text("request: {kind: by_class}\n")
    path.write_text(
        "base: base.yaml\nbudget_rows: 9216\nrequests: {class: [{classes: [5]}]}\n"
        "methods:\n  finetune, long: {set: {method: {name: finetune}}}\n"
    )
    with pytest.raises(ConfigError, match=r"methods.finetune, long: a label is made of letters, digits, spaces"):
        read_comparison(path)
