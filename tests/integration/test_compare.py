"""`cu compare` as a process: killed in mid-way and started again, its tables, its page and its MLflow runs."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from mlflow.tracking import MlflowClient

from pipelines.compare.config import read_comparison

CU = [sys.executable, "-m", "pipelines.cli.entry"]
TIMES = ["seconds"]
RATES = {"loguniform": [0.001, 0.1]}
SAMPLES: dict[str, Any] = {"tuning": None, "methods": {"finetune": {}}}


def write_comparison(folder: Path, digits: Path, **parts: Any) -> Path:
    base = {
        "data": {"path": str(digits)},
        "storage": str(folder / "out"),
        "model": {"name": "resnet10", "width": 8},
        "train": {"epochs": 4, "batch": 64, "optimizer": {"lr": 0.05}},
        "audit": {
            "oracles": 1,
            "audits": ["accuracy", "membership", "representation", "rebound"],
            "rebound_steps": 3,
        },
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    comparison = {
        "base": "base.yaml",
        "seeds": [0, 1],
        "budget_rows": 2400,
        "requests": {"class": [{"kind": "by_class", "classes": [5]}]},
        "tuning": {
            "trials": 4,
            "seeds": [9],
            "requests": [{"kind": "by_class", "classes": [7]}],
            "search": {"stop": {"choice": [{"rule": "none"}, {"rule": "paper", "further_steps": 50}]}},
            "at_once": 2,
            "more_trials": 2,
            "widenings": 1,
        },
        "methods": {
            "contrastive": {"search": {"optimizer.lr": RATES, "method.lambda_ul": {"loguniform": [0.1, 1.0]}}},
            "push_and_pull": {"set": {"preset": "paper"}, "published": True},
            "random_label": {"search": {"optimizer.lr": RATES}},
            "gradient_ascent": {"set": {"optimizer": {"lr": 1e9}}, "published": True},
            "logit_mask": {},
        },
        **parts,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(comparison))
    return path


def compare(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    # MLflow exports the server of an earlier run in this process to its children.
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    words = [*CU, "compare", path, *more]
    return subprocess.run(words, capture_output=True, check=False, text=True, env=environment)


@pytest.fixture(scope="module")
def undisturbed(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("undisturbed")
    done = compare(write_comparison(place, digits), "--out", str(place / "table.md"))
    assert done.returncode == 0, done.stderr
    return place, done.stderr


def test_tables_hold_every_method_and_the_controls(undisturbed: tuple[Path, str]) -> None:
    place, printed = undisturbed
    folder = place / "out" / "compare" / "tiny"
    table = pd.read_csv(folder / "table.csv").set_index("method")
    methods = {"contrastive", "push_and_pull", "random_label", "gradient_ascent", "logit_mask"}
    assert set(table.index) == methods | {"doing nothing", "oracle"}
    assert table.loc["doing nothing", "gap mean"] > 20
    assert table.loc["logit_mask", "forget_test_accuracy mean"] == 0
    assert table.loc["logit_mask", "probe_accuracy mean"] == table.loc["doing nothing", "probe_accuracy mean"]
    rows = table["rows mean"].drop(["doing nothing", "oracle", "gradient_ascent"])
    assert (rows <= 2400).all()
    assert rows["push_and_pull"] > 2200  # the searched ones may stop sooner
    markdown = (place / "table.md").read_text()
    figures = markdown[markdown.index("**class: difference") :]
    assert figures.index("| doing nothing |") < figures.index("| oracle |") < figures.index("| contrastive")
    assert "gradient_ascent (2 of 2 diverged)" in markdown[markdown.index("**class, as published: difference") :]
    assert "random_label: default settings; found optimizer.lr=" in markdown
    page = (folder / "report.html").read_text()
    assert "<svg" in page
    assert re.search(r"step \d+: (loss|gradient_norm) is (inf|nan)", page)  # why it diverged
    assert "Traceback" not in printed
    assert "INFO" not in printed


def test_every_method_was_searched_alike_and_the_page_says_how(undisturbed: tuple[Path, str]) -> None:
    folder = undisturbed[0] / "out" / "compare" / "tiny"
    record = json.loads((folder / "comparison.json").read_text())
    assert set(record["searches"]) == {"contrastive", "random_label"}
    for label, search in record["searches"].items():
        trials = search["trials"]
        assert len(trials) == 4 + (2 if search["widened"] else 0)
        best = min(trials, key=lambda t: math.inf if t["value"] is None else t["value"])
        assert best["settings"] == search["chosen"]
        assert all(t["rows"] <= 2400 for t in trials)
        assert sum(t["rows"] for t in trials) > 0
        table = (folder / "table.md").read_text()
        chosen = next(line for line in table.splitlines() if line.startswith(f"| {label} | {len(trials)} |"))
        assert f"optimizer.lr={search['chosen']['optimizer.lr']}" in chosen
    cells = pd.read_csv(folder / "cells.csv")
    done = cells[cells["method"] == "random_label"]
    assert len(done) == 2
    assert (done["oracles held out"] == 0).all()  # one oracle is no control


def test_mlflow_has_one_parent_with_a_nested_run_for_each_cell(undisturbed: tuple[Path, str]) -> None:
    place, _ = undisturbed
    client = MlflowClient(f"sqlite:///{place / 'out' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("contrastive-unlearning").experiment_id])
    parents = [r for r in runs if "compare_digest" in r.data.tags]
    assert len(parents) == 1
    assert parents[0].data.metrics["gap/class/doing nothing"] > parents[0].data.metrics["gap/class/random_label"]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(children) == len(runs) - 1 == 10
    assert sorted(r.info.status for r in children) == ["FAILED"] * 2 + ["FINISHED"] * 8
    finished = [r for r in children if r.info.status == "FINISHED"]
    assert all("oracle_gap" in r.data.metrics for r in finished)
    assert any("step/loss" in r.data.metrics for r in finished)
    assert {a.path for a in client.list_artifacts(parents[0].info.run_id)} >= {"table.md", "table.csv", "report.html"}


def test_a_second_start_runs_nothing_and_gives_the_same_table(undisturbed: tuple[Path, str]) -> None:
    place, _ = undisturbed
    before = (place / "out" / "compare" / "tiny" / "table.md").read_text()
    done = compare(place / "tiny.yaml", "--out", str(place / "table.md"))
    assert done.returncode == 0, done.stderr
    assert "10 cells: 10 found, 0 to run, 0 models to train" in done.stderr
    assert (place / "out" / "compare" / "tiny" / "table.md").read_text() == before
    piece = compare(place / "tiny.yaml", "--methods", "random_label")  # a piece of it finds the same cells
    assert piece.returncode == 0, piece.stderr
    assert "2 cells: 2 found, 0 to run" in piece.stderr
    assert not re.search(r"[1-9]\d* to run", piece.stderr)


@pytest.mark.timeout(1500)
def test_killed_and_started_again_it_gives_the_same_table(
    undisturbed: tuple[Path, str], digits: Path, tmp_path: Path
) -> None:
    path, piece = write_comparison(tmp_path, digits), ["--methods", "random_label"]
    process = subprocess.Popen([*CU, "compare", path, *piece], start_new_session=True, stderr=subprocess.DEVNULL)
    cells, deadline = tmp_path / "out" / "cells", time.monotonic() + 600
    while len(finished := list(cells.glob("*/audit-*.json"))) < 4:
        assert process.poll() is None, "the comparison ended before it could be killed"
        assert time.monotonic() < deadline, "no four cells after ten minutes"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = {file: file.stat().st_mtime_ns for file in finished}
    done = compare(path, *piece)
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime_ns for file in written} == written
    (folder,) = (tmp_path / "out" / "compare").glob("tiny_*")
    want, have = (
        pd.read_csv(p / "cells.csv").drop(columns=TIMES).set_index("method")
        for p in (undisturbed[0] / "out" / "compare" / "tiny", folder)
    )
    assert set(have.index) == {"random_label", "oracle", "doing nothing"}
    pd.testing.assert_frame_equal(want.loc[want.index.isin(have.index), have.columns], have, check_exact=True)


def test_sigterm_ends_it_as_ctrl_c_does(digits: Path, tmp_path: Path) -> None:
    path = write_comparison(tmp_path, digits)
    process = subprocess.Popen([*CU, "compare", path], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "models to train" not in process.stderr.readline():
        assert process.poll() is None, "the comparison ended before it began"
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "interrupted; what is finished is kept" in errors
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    client = MlflowClient(f"sqlite:///{tmp_path / 'out' / 'mlflow.db'}")
    (parent,) = client.search_runs([client.get_experiment_by_name("contrastive-unlearning").experiment_id])
    assert parent.info.status == "KILLED"


def test_memorised_rows_are_scored_and_a_case_that_ranks_nobody_is_said_to(digits: Path, tmp_path: Path) -> None:
    requests = {
        "random": [{"kind": "by_random", "count": 40}],
        "memorised": [{"kind": "by_score", "take": "highest", "count": 40}],
    }
    methods = {"finetune": {}}
    path = write_comparison(tmp_path, digits, requests=requests, tuning=None, methods=methods, seeds=[0, 1])
    done = compare(path)
    assert done.returncode == 0, done.stderr
    assert "methods cannot be ranked on it" in (tmp_path / "out" / "compare" / "tiny" / "table.md").read_text()
    scores = [pd.read_parquet(file) for file in (tmp_path / "out" / "scores").glob("*.parquet")]
    assert len(scores) == 2
    for table in scores:
        difference = table["confidence_original"] - table["confidence_without"]
        pd.testing.assert_series_equal(table["memorisation"], difference, check_names=False)
        assert table["memorisation"].mean() > 0
    cells = pd.read_csv(tmp_path / "out" / "compare" / "tiny" / "cells.csv")
    oracle = cells[cells["method"] == "oracle"].groupby("group")["forget_accuracy"].mean()
    assert oracle["memorised"] < oracle["random"] - 10  # what was memorised, a retrained model does not know


def test_cells_of_several_workers_are_train_runs(digits: Path, tmp_path: Path) -> None:
    change = {"workers": {"count": 2}, "batches": {"forget_batch": 16, "retain_batch": 16}}
    methods = {"random_label": {}}
    path = write_comparison(tmp_path, digits, set=change, methods=methods, tuning=None, seeds=[0], budget_rows=640)
    done = compare(path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "cells").glob("*/ray"))) == 1  # Ray Train's own folder
    steps = json.loads(next((tmp_path / "out" / "cells").glob("*/steps.json")).read_text())
    assert [step for step, _ in steps] == list(range(1, 21))
    assert "One seed: how far runs differ between seeds is not known" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {"forgetter": {}}}, "methods.forgetter: no method of that name"),
        ({"methods": {"finetune": {"set": {"model": {"width": 4}}}}}, "set.model: a method may set method, optimizer"),
        ({"methods": {"finetune": {"search": {"optimizer.lr": [1, 2, 3]}}}}, "optimizer.lr: must name a range"),
        ({"methods": {"finetune": {"search": {"optimizer.rate": RATES}}}}, "optimizer.rate: unknown key"),
        ({"methods": {"neggrad_plus": {"search": {"method.beta": {"uniform": [0.5, 0.9]}}}}}, "`within` names natural"),
        ({"methods": {"finetune": {}}}, "methods.finetune: every method is searched where there is a part tuning"),
        ({"seeds": [9]}, "tuning.seeds: [9] are reported seeds too"),
        ({"budget_rows": 10}, "methods.contrastive: budget_rows=10 buys no step"),
        ({"base": "absent.yaml"}, "base: no configuration file"),
        ({"sedes": [1]}, "sedes: unknown key; did you mean seeds?"),
        ({"requests": {"a": [{"kind": "by_class", "classes": [77]}]}}, "class 77 does not exist"),
        (
            {"methods": {"unsir": {"published": True}}, "requests": {"r": [{"kind": "by_random", "count": 9}]}},
            "unsir cannot forget samples",
        ),
        ({"set": {"audit": {"oracles": 0}}}, "audit.oracles must be at least 1"),
        ({"methods": {"scrubb": {}}}, "methods.scrubb: no method of that name; did you mean scrub?"),
        ({"methods": {"scrub": {"sett": {}}}}, "methods.scrub.sett: unknown key; did you mean methods.scrub.set?"),
        (
            {"methods": {"scrub": {"set": {"method": {"alpah": 1}}, "published": True}}},
            "methods.scrub: method.alpah: unknown key",
        ),
        ({"methods": {"scrub": None}}, "methods.scrub: must hold keys and values"),
        ({"seeds": [0, 0]}, "seeds must be different numbers"),
        ({"requests": {"a": []}}, "every group of them and methods must not be empty"),
        ({"methods": {"mine": {"set": {"method": None}}}}, "methods.mine.set.method: must hold keys and values"),
        ({"methods": {"oracle": {"set": {"method": {"name": "scrub"}}}}}, "methods.oracle: the name of a control"),
        ({"methods": {"finetune": {"set": {"method": {"name": "scrub"}}}}}, "set.method.name is scrub; give the entry"),
        ({"methods": {"finetune": {"set": {"stop": {"max_steps": 9}}}}}, "stop.max_steps follows from budget_rows"),
        ({"methods": {"finetune": {"search": {"model.width": RATES}}}}, "search.model.width: a method may set"),
        ({"methods": {"finetune": {"search": {"optimizer.lr": {"uniform": [1, 1]}}}}}, "must go from low to high"),
        ({"tuning": {"trials": 2, "seeds": [], "requests": []}}, "tuning needs at least one trial"),
        (
            {"tuning": {"trials": 2, "requests": [{"kind": "by_class", "classes": [5]}]}},
            "class 5 is reported, and would decide",
        ),
        (
            {
                "requests": {"r": [{"kind": "by_random", "count": 30, "seed": 4}]},
                "tuning": {"trials": 2, "requests": [{"kind": "by_random", "count": 30, "seed": 4}]},
                "methods": {"finetune": {"search": {"optimizer.lr": RATES}}},
            },
            "the rows of one are reported",
        ),
        ({"requests": {"a": [{"kind": "by_class", "classes": [5]}] * 2}}, "requests.a: a request stands twice"),
        ({"requests": {"5% (hard)": [{"kind": "by_class", "classes": [5]}]}}, "a label is made of letters"),
        ({"set": {"seed": 3}}, "set.seed: has no effect"),
        ({"set": {"audit": {"report_on": "stop"}}}, "audit.report_on: this setting was removed"),
        ({"methods": []}, "methods: must name at least one method"),
        ({"requests": {"m": [{"kind": "by_score", "cuont": 30}]}, **SAMPLES}, "request.cuont: unknown key"),
        ({"requests": {"m": [{"kind": "by_score", "count": 30}]}, **SAMPLES, "budget_rows": 5}, "buys no step"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    digits: Path,
    tmp_path: Path,
    change: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tests.integration.test_cli import cu

    monkeypatch.setattr("pipelines.compare.command.ray_session", _nothing_may_start)
    assert cu(monkeypatch, "compare", write_comparison(tmp_path, digits, **change)) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "Traceback" not in error


def test_methods_can_be_chosen_and_the_table_needs_a_place(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.integration.test_cli import cu

    path = write_comparison(tmp_path, digits)
    assert [*read_comparison(path, only=["logit_mask"]).config.methods] == ["logit_mask"]
    assert cu(monkeypatch, "compare", path, "--methods", "contrastive,salun") == 2
    assert "--methods: 'salun' is not among those of" in capsys.readouterr().err
    assert cu(monkeypatch, "compare", path, "--out", tmp_path) == 2
    assert "must be a file that can be written" in " ".join(capsys.readouterr().err.split())
    assert cu(monkeypatch, "compare", tmp_path / "base.yaml") == 2
    assert "is no comparison: it has no key base" in " ".join(capsys.readouterr().err.split())


def _nothing_may_start(*args: object) -> None:
    raise AssertionError("a Ray session was started")
