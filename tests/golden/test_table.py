"""What every method ships with, and what a step of it costs. A change here is a change of results."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cu_core.methods.table import METHODS

F, R, L, O, N = "forget rows", "retain rows", "labels", "frozen original", "untrained model"  # noqa: E741
SHIPPED: dict[str, dict[str, Any]] = {
    "contrastive": {
        "terms": "both", "temperature": 0.5, "lambda_ul": 1.0, "lambda_ce": 1.0, "detach_retain": True,
        "pull_weights": "uniform", "push_weights": "uniform", "pull_form": "linear", "bank": 1500,
        "lambda_prototype": 0.0, "lambda_cosine": 0.0, "feature": "embedding",
    },
    "contrastive_clip": {
        "temperature": 0.5, "lambda_push": 1.0, "lambda_pull": 1.0, "uniform_pull": 0.25, "lambda_dispersion": 0.5,
        "lambda_retain": 1.0, "lambda_drift": 1.0,
    },
    "finetune": {},
    "retrain": {},
    "gradient_ascent": {},
    "neggrad_plus": {"beta": 0.9},
    "random_label": {"lambda_retain": 1.0},
    "salun": {"lambda_retain": 1.0, "mask_frac": 0.5},
    "scrub": {"alpha": 0.5, "gamma": 1.0, "max_frac": 0.5, "temperature": 4.0},
    "bad_teacher": {"lambda_forget": 1.0, "temperature": 1.0},
    "boundary_shrink": {"epsilon": 0.1},
    "boundary_expanding": {},
    "l1_sparse": {"gamma": 5e-4},
    "unsir": {"noise_rows": 64, "noise_steps": 20, "noise_lr": 0.1, "noise_penalty": 0.1, "impair_frac": 0.5},
    "fanchuan": {"uniform_frac": 0.1, "contrast_until": 0.7, "temperature": 1.15, "lambda_contrast": 0.1},
    "ssd": {"alpha": 10.0, "lambda_dampening": 1.0, "num_rows": 1000},
    "logit_mask": {},
    "null_space": {},
    "impostor": {"trick": "one_class"},
}  # fmt: skip
NEEDS: dict[str, set[str]] = {
    "contrastive": {F, R, L}, "contrastive_clip": {F, R, L, O}, "finetune": {R, L}, "retrain": {R, L, N},
    "gradient_ascent": {F, L}, "neggrad_plus": {F, R, L}, "random_label": {F, R, L}, "salun": {F, R, L},
    "scrub": {F, R, L, O}, "bad_teacher": {F, R, O, N}, "boundary_shrink": {F, L}, "boundary_expanding": {F},
    "l1_sparse": {R, L}, "unsir": {R, L}, "fanchuan": {F, R, L}, "ssd": {F, R, L}, "logit_mask": set(),
    "null_space": set(), "impostor": {F, R, L},
}  # fmt: skip
# Rows of a step of 30 forget and 50 retain rows, the average over a run; frozen models count as the trained one.
STEP = {
    "contrastive": 80, "contrastive_clip": 160, "finetune": 50, "retrain": 50, "gradient_ascent": 30,
    "neggrad_plus": 80, "random_label": 80, "salun": 80,
    "scrub": 2 * (30 / 4 + 50 * 3 / 4),
    "bad_teacher": 160, "boundary_shrink": 30, "boundary_expanding": 30, "l1_sparse": 50,
    "unsir": 50 + 30 / 2,
    "fanchuan": 0.1 * 30 + 0.3 * (30 + 50) + 0.3 * 50 + 0.3 * 50,
    "ssd": 0, "logit_mask": 0, "null_space": 0, "impostor": 80,
}  # fmt: skip
# Rows of ``prepare`` for 300 forget rows of two classes beside 5,000 retain rows; 0 where absent.
PREPARE = {"salun": 300, "boundary_shrink": 600, "ssd": 300 + 1000, "unsir": 20 * 64 * 2, "contrastive_clip": 512}


def test_the_table_is_complete() -> None:
    assert set(METHODS) == set(SHIPPED) == set(NEEDS) == set(STEP)
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert {cls.__module__.rpartition(".")[2] for cls in METHODS.values()} <= files


@pytest.mark.parametrize("name", METHODS)
def test_shipped_settings(name: str) -> None:
    method = METHODS[name]()
    assert {f.name: getattr(method, f.name) for f in fields(method)} == {"name": name, **SHIPPED[name]}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_what_it_needs_and_what_a_step_costs(name: str) -> None:
    method = METHODS[name]()
    assert method.needs() == NEEDS[name]
    assert method.rows_per_step(30, 50) == pytest.approx(STEP[name])
    assert method.rows_to_prepare(300, 5000, 2) == PREPARE.get(name, 0)


def test_settings_that_need_more() -> None:
    contrastive = METHODS["contrastive"]
    tilted, forests = (contrastive(pull_weights=w) for w in ("tilted", "forests"))  # type: ignore[call-arg]
    assert tilted.needs() == {F, R, L, O}
    assert forests.needs() == {F, R, L}
    assert [m.rows_per_step(30, 50) for m in (tilted, forests)] == [110, 80]
    assert [m.rows_to_prepare(300, 5000, 2) for m in (tilted, forests)] == [0, 1800]
    assert forests.rows_to_prepare(300, 70, 0) == 370
    assert METHODS["ssd"]().rows_to_prepare(3000, 700, 0) == 1700
    assert METHODS["contrastive_clip"]().rows_to_prepare(300, 70, 0) == 70
