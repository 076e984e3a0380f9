from __future__ import annotations

import re
from pathlib import Path

import pytest

from cu_core.config_io import config_from
from cu_core.errors import ConfigError
from cu_core.methods.table import METHODS
from pipelines.compare.config import Comparison, Sizes, read_comparison, within_budget

CLASS = Sizes(forget=1000, retain=9000, forget_classes=1, classes=10)
SHIPPED = Path(__file__).parents[4] / "tune_configs" / "compare"
CONFIGS = sorted(SHIPPED.glob("*.yaml"))


SIZES = Sizes(300, 2700, 1, 10)
SEARCHED = [path for path in CONFIGS if "tuning:" in path.read_text()]


def first_request(comparison: Comparison) -> dict[str, object]:
    request = next(iter(comparison.config.requests.values()))[0]
    return {"path": "scores.parquet", **request} if request["kind"] == "by_score" else dict(request)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_comparisons_load_and_all_that_a_search_may_set_is_valid(path: Path) -> None:
    head = path.read_text().splitlines()[:12]
    assert head[0].startswith(("# cu compare tune_configs/compare/" + path.name, "# cu compare --reproduce paper"))
    assert any(said in line.lower() for said in ("minutes", "not run here", "docs/results/") for line in head)
    comparison = read_comparison(path)
    for label in comparison.config.methods:
        for trial in comparison.ends(label):
            config = comparison.cell_config(label, trial, first_request(comparison), 0, tuning=True, sizes=SIZES)
            assert config.audit.report_on == "stop"
            assert config.seed == 0


@pytest.mark.parametrize("path", SEARCHED, ids=lambda p: p.stem)
def test_shipped_searches_are_the_same_for_all(path: Path) -> None:
    comparison = read_comparison(path)
    tuning = comparison.config.tuning
    assert tuning is not None
    assert tuning.trials >= 24
    stops = set()
    for label, competitor in comparison.config.methods.items():
        if competitor.published or not competitor.search:
            continue
        space = comparison.space(label)
        closed = METHODS[competitor.method(label)].closed_form
        assert set(space) == {*competitor.search, *(() if closed else ("steps_frac", "stop"))}
        assert "optimizer.lr" in space or closed
        stops.add(comparison.uncut(label, {}, first_request(comparison), 0, tuning=True).stop)
    assert len(stops) == 1  # before the search chooses, no method stops otherwise than another


@pytest.mark.parametrize("name", ["digits", "fashion_mnist_class", "fashion_mnist_classes", "fashion_mnist_samples"])
def test_shipped_searches_set_what_is_a_methods_own(name: str) -> None:
    """Settings that decide between forgetting and retaining, and the paper's own method beside today's default."""
    methods = read_comparison(SHIPPED / f"{name}.yaml").config.methods
    own = {
        "contrastive": "method.lambda_ul",
        "contrastive_paper": "method.lambda_ul",
        "neggrad_plus": "method.beta",
        "random_label": "method.lambda_retain",
        "salun": "method.mask_frac",
        "scrub": "method.alpha",
        "bad_teacher": "method.lambda_forget",
        "boundary_shrink": "method.epsilon",
        "l1_sparse": "method.gamma",
        "fanchuan": "method.lambda_contrast",
        "ssd": "method.alpha",
    }
    for label, setting in own.items():
        assert setting in methods[label].search, label


@pytest.mark.parametrize("path", SEARCHED, ids=lambda p: p.stem)
def test_ranges_of_shipped_searches_hold_todays_default_rates(path: Path) -> None:
    comparison = read_comparison(path)
    for label, competitor in comparison.config.methods.items():
        if "optimizer.lr" in competitor.search and "preset" not in competitor.set:
            low, high = competitor.search["optimizer.lr"]["loguniform"]
            rate = comparison.uncut(label, {}, first_request(comparison), 0, tuning=True).optimizer.lr
            assert low < rate < high, label


def test_one_search_serves_one_class_and_several_and_no_reported_class_decides() -> None:
    one, several = (read_comparison(SHIPPED / f"fashion_mnist_{n}.yaml") for n in ("class", "classes"))
    assert one.config.methods == several.config.methods
    assert one.config.tuning == several.config.tuning
    assert (one.base, one.config.budget_rows) == (several.base, several.config.budget_rows)
    assert one.config.tuning is not None
    tuned = {c for r in one.config.tuning.requests for c in r["classes"]}
    reported = {c for x in (one, several) for group in x.config.requests.values() for r in group for c in r["classes"]}
    assert not tuned & reported


def test_requests_of_two_and_of_three_classes_are_compared() -> None:
    groups = read_comparison(SHIPPED / "fashion_mnist_classes.yaml").config.requests.values()
    assert sorted(len(request["classes"]) for group in groups for request in group) == [2, 3]


def test_no_seed_is_both_tuned_on_and_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tuning.seeds: \[9\] are reported seeds too"):
        read_comparison(write(tmp_path, f"{{finetune: {{{RATE}}}}}", TUNED, seeds="[0, 9]"))


def test_every_searched_method_stands_once_more_as_published() -> None:
    for name in ("class", "classes", "samples"):
        methods = read_comparison(SHIPPED / f"fashion_mnist_{name}.yaml").config.methods
        searched = {label for label, c in methods.items() if c.search}
        published = {label.removesuffix(" as published") for label, c in methods.items() if c.published}
        assert searched - published == {"contrastive", "retrain"}  # ours has no paper, retraining no settings
        assert published & {"contrastive default", "contrastive with kept cosine"}  # the default when it was run


def write(folder: Path, methods: str, tuning: str = "", **keys: object) -> Path:
    path = folder / "c.yaml"
    (folder / "base.yaml").write_text("request: {kind: by_class}\n")
    more = "".join(f"{key}: {value}\n" for key, value in keys.items())
    head = "base: base.yaml\nbudget_rows: 9216\nrequests: {class: [{classes: [5]}]}\n"
    path.write_text(f"{head}{more}{tuning}methods: {methods}\n")
    return path


TUNED = (
    "tuning: {trials: 2, requests: [{classes: [7]}], search: {steps_frac: {uniform: [0.2, 1.0], within: [0.1, 1.0]}, "
    "stop: {choice: [{rule: none}, {rule: paper, further_steps: 50}]}}}\n"
)
RATE = "search: {optimizer.lr: {loguniform: [0.001, 0.1]}}"


def test_what_a_search_may_set_reaches_the_run(tmp_path: Path) -> None:
    comparison = read_comparison(write(tmp_path, f"{{finetune: {{{RATE}}}}}", TUNED))
    trial = {"optimizer.lr": 0.5, "steps_frac": 0.5, "stop": {"rule": "paper", "further_steps": 50}}
    request = {"kind": "by_class", "classes": [5]}
    config = comparison.cell_config("finetune", trial, request, 0, tuning=False, sizes=CLASS)
    # 9,216 rows are 144 steps of 64 retain rows; half of them, of which half may follow after the rule has fired.
    assert (config.optimizer.lr, config.stop.max_steps, config.stop.further_steps) == (0.5, 72, 36)
    other = comparison.cell_config("finetune", {"stop": {"rule": "none"}}, request, 0, tuning=False, sizes=CLASS)
    assert (other.stop.rule, other.stop.max_steps) == ("none", 144)


def test_the_search_audits_what_its_objective_is_made_of(tmp_path: Path) -> None:
    comparison = read_comparison(write(tmp_path, f"{{finetune: {{{RATE}}}}}", TUNED))
    request = {"kind": "by_class", "classes": [5]}
    tuned, reported = (comparison.run_config(request, 0, tuning=tuning) for tuning in (True, False))
    assert tuned.audit.audits == ("accuracy", "membership", "retrieval")
    assert (tuned.audit.report_on, reported.audit.report_on) == ("stop", "test")
    assert reported.audit.audits is None


def test_the_search_makes_no_audits_on_request(tmp_path: Path) -> None:
    comparison = read_comparison(write(tmp_path, f"{{finetune: {{{RATE}}}}}", TUNED))
    comparison.base["model"] = {"name": "open_clip:ViT-B-32"}
    comparison.base["audit"] = {**comparison.base.get("audit", {}), "more_audits": ["hubness"]}
    request = {"kind": "by_class", "classes": [5]}
    tuned, reported = (comparison.run_config(request, 0, tuning=tuning) for tuning in (True, False))
    assert (tuned.audit.more_audits, reported.audit.more_audits) == ((), ("hubness",))


def test_stopping_is_the_same_for_all_that_are_searched_whatever_their_presets(tmp_path: Path) -> None:
    methods = (
        f"{{finetune: {{{RATE}}}, contrastive: {{{RATE}}}, paper: {{set: {{preset: paper}}, {RATE}}}, "
        "own paper: {set: {preset: paper}, published: true}}"
    )
    comparison = read_comparison(write(tmp_path, methods, TUNED))
    for request in ({"kind": "by_class", "classes": [5]}, {"kind": "by_random", "count": 300}):
        runs = {label: comparison.uncut(label, {}, request, 0, tuning=False) for label in comparison.config.methods}
        assert len({run.stop for label, run in runs.items() if label != "own paper"}) == 1
        assert runs["own paper"].stop.max_steps == {"by_class": 320, "by_random": 480}[str(request["kind"])]
    shared = read_comparison(write(tmp_path, methods, TUNED, set="{stop: {rule: none, patience: 2}}"))
    runs = {label: shared.uncut(label, {}, request, 0, tuning=False) for label in ("finetune", "contrastive", "paper")}
    assert {(run.stop.rule, run.stop.patience) for run in runs.values()} == {("none", 2)}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("{finetune: {}}", "methods.finetune: every method is searched"),
        (
            f"{{finetune: {{set: {{stop: {{rule: none}}}}, {RATE}}}}}",
            "methods.finetune.set.stop: all methods stop alike",
        ),
        ("{finetune: {search: {stop.rule: {choice: [none]}}}}", "when to stop is the same choice for all methods"),
        ("{finetune: {search: {optimizer.lr: [0.1, 0.2]}}}", "search.optimizer.lr: must name a range"),
        ("{finetune: {search: {optimizer.lr: {normal: [0.1, 0.2]}}}}", "must be one of uniform, loguniform"),
        (
            "{finetune: {search: {steps_frac: {uniform: [0.1, 1.0]}}}}",
            "are in tuning.search, which is the same for all",
        ),
        (f"{{finetune: {{published: true, {RATE}}}}}", "a published entry takes no search"),
        (f"{{finetune: {{budget_rows: 9, {RATE}}}}}", "only published settings have rows of their own"),
        (
            "{contrastive: {search: {optimizer.lr: {uniform: [0.1, 1.0]}, method.lambda_ul: {uniform: [0.1, 1.0]}, "
            "method.temperature: {uniform: [0.1, 1.0]}, method.lambda_ce: {uniform: [0.1, 1.0]}, "
            "optimizer.momentum: {uniform: [0.1, 0.9]}}}}",
            "at most 4 settings, got 5",
        ),
    ],
)
def test_what_would_not_be_searched_alike_is_refused(methods: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_comparison(write(tmp_path, methods, TUNED))


def test_published_settings_may_spend_what_their_paper_spends(tmp_path: Path) -> None:
    methods = (
        f"{{finetune: {{{RATE}}}, long: {{set: {{method: {{name: finetune}}}}, published: true, budget_rows: 64000}}}}"
    )
    comparison = read_comparison(write(tmp_path, methods, TUNED))
    request = {"kind": "by_class", "classes": [5]}
    assert comparison.cell_config("long", {}, request, 0, tuning=False, sizes=CLASS).stop.max_steps == 1000
    assert comparison.space("long") == {}


def test_methods_without_steps_are_not_asked_for_steps(tmp_path: Path) -> None:
    comparison = read_comparison(write(tmp_path, "{ssd: {search: {method.alpha: {loguniform: [1.0, 10.0]}}}}", TUNED))
    assert set(comparison.space("ssd")) == {"method.alpha"}


def test_steps_are_what_the_budget_buys_and_checks_keep_their_share() -> None:
    stop = {"max_steps": 48, "check_every": 16, "further_steps": 32}
    method = {"pull_weights": "tilted", "lambda_cosine": 0.0}
    plain = config_from({"stop": stop, "method": method, "batches": {"forget_batch": 64}})
    # It forwards 64 forget, 64 retain and 64 forget rows through the frozen original.
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
        "  pull: {set: {method: {name: contrastive, terms: pull, lambda_ul: 1.0}}}\n"
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
