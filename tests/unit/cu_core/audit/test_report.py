"""Figures side by side in points, reasons for those that are absent, and a record per sample."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cu_core.audit.report import (
    _map,
    _prompts,
    absent_metrics,
    compare_models,
    figure_rows,
    per_class_test_accuracy,
    sample_table,
)
from cu_core.audit.subject import AuditConfig
from cu_core.audit.table import AUDITS, Claim, metrics_of
from cu_core.audit.verdict import Rule
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions
from tests.unit.cu_core.planted import predictions, subject

CONFIG = AuditConfig()


def figures(**points: float) -> dict[str, MetricResult]:
    return {name: MetricResult(value, 100) for name, value in points.items()}


ORIGINAL = figures(forget_accuracy=99, mia_auc=0.8, retain_accuracy=98, forget_tv=0.3)
ORACLES = [figures(forget_accuracy=f, mia_auc=m, forget_tv=0.1) for f, m in ((60, 0.5), (62, 0.54), (64, 0.52))]


def rule(oracles: list[dict[str, MetricResult]]) -> Rule:
    return Rule(Claim("sample"), oracles, CONFIG)


def test_rows_are_in_points_and_in_the_order_of_the_table() -> None:
    unlearned = {"mia_auc": MetricResult(0.6, 100, 0.55, 0.65), **figures(forget_accuracy=70, retain_accuracy=97)}
    rows = figure_rows(ORIGINAL, unlearned, ORACLES, rule(ORACLES))
    assert [row.name for row in rows] == ["forget_accuracy", "retain_accuracy", "mia_auc"]
    accuracy, retain, auc = rows
    assert (auc.original, auc.unlearned, *auc.oracles) == pytest.approx((80, 60, 50, 54, 52))
    assert (auc.unlearned_low, auc.unlearned_high) == pytest.approx((55, 65))
    assert auc.difference == pytest.approx(8)
    assert (accuracy.audit, accuracy.unlearned_low, accuracy.difference) == ("accuracy", None, pytest.approx(8))
    assert auc.band is not None
    assert auc.tolerance == auc.band.tolerance > 3
    # no oracle has it
    assert (retain.oracles, retain.difference, retain.band, retain.tolerance) == ((), None, None, None)


def test_what_is_not_judged_has_a_band_and_no_tolerance() -> None:
    (row,) = figure_rows(ORIGINAL, figures(forget_tv=0.2), ORACLES, rule(ORACLES))
    assert (row.name, row.in_gap, row.tolerance) == ("forget_tv", False, None)
    assert row.band is not None


def test_without_oracles_two_columns_stand_alone() -> None:
    (row,) = figure_rows(ORIGINAL, figures(forget_accuracy=70, test_accuracy=80), [], rule([]))
    assert (row.name, row.oracles, row.difference, row.band) == ("forget_accuracy", (), None, None)


def test_an_oracle_that_lacks_a_figure_is_left_out_of_its_row() -> None:
    oracles = [*ORACLES, figures(mia_auc=0.5)]
    (row,) = figure_rows(ORIGINAL, figures(forget_accuracy=70), oracles, rule(oracles))
    assert (row.oracles, row.difference) == (pytest.approx((60, 62, 64)), pytest.approx(8))
    assert (row.band, row.tolerance) == (None, None)


def test_the_gap_of_doing_nothing_is_that_of_the_original() -> None:
    original = figures(forget_accuracy=99)
    gap, nothing, verdict = compare_models(original, figures(forget_accuracy=66), rule(ORACLES))
    assert gap is not None
    assert nothing is not None
    assert gap.per_metric == pytest.approx({"forget_accuracy": 4})
    assert nothing.per_metric == pytest.approx({"forget_accuracy": 37})
    assert compare_models(ORIGINAL, ORIGINAL, rule([]))[:2] == (None, None)
    assert verdict.judged == 5


MADE = figures(**dict.fromkeys(metrics_of("class", CONFIG), 1.0))


def without(*names: str) -> dict[str, MetricResult]:
    return {name: value for name, value in MADE.items() if name not in names}


@pytest.mark.parametrize(
    ("missing", "oracles", "reason"),
    [
        ("forget_js", 0, "it compares with oracles, there are 0"),
        ("forget_js", 1, "it compares with oracles, there is 1"),
        ("relearn_5", 3, "too few forget rows to learn from"),
        ("other_data_accuracy", 3, "none given (audit.other_data)"),
        ("mia_auc", 3, "no held-out row has a class of the forget rows"),
        ("mia_cosine_auc", 3, "no held-out row has a class of the forget rows"),
        ("best_paraphrase_accuracy", 3, "none given (audit.paraphrases)"),
        ("wording_misspelling", 3, "there is no such wording of what is forgotten"),
        ("unseen_style_accuracy", 3, "none given (audit.style_column)"),
    ],
)
def test_why_a_metric_is_absent(missing: str, oracles: int, reason: str) -> None:
    assert absent_metrics("class", without(missing), oracles, CONFIG) == {missing: reason}


def test_metrics_of_the_other_kind_and_of_pairs_are_not_missed() -> None:
    pairs = [name for name, metric in metrics_of("class", CONFIG).items() if AUDITS[metric.audit].pairs_only]
    assert absent_metrics("class", MADE, 3, CONFIG) == {}
    assert absent_metrics("class", without(*pairs), 3, CONFIG) == {}
    assert set(absent_metrics("class", without(*pairs[1:]), 3, CONFIG)) == set(pairs[1:])


def test_an_audit_of_classes_that_a_request_for_rows_asks_for_is_said() -> None:
    config = AuditConfig(more_audits=("near_concepts",))
    found = absent_metrics("sample", dict.fromkeys(metrics_of("sample", config), MADE["forget_accuracy"]), 3, config)
    assert {name: found[name] for name in ("near_accuracy_5", "near_accuracy_rest")} == {
        "near_accuracy_5": "it is for requests of whole classes",
        "near_accuracy_rest": "it is for requests of whole classes",
    }


def test_a_language_without_captions_of_what_is_forgotten_is_said() -> None:
    config = AuditConfig(languages=("de",))
    found = absent_metrics("class", MADE, 3, config)
    assert found == {"language_precision/de": "no measured row fits (audit.languages)"}


def test_metrics_of_encoders_are_missed_of_encoders_only() -> None:
    encoders = [name for name, metric in metrics_of("class", CONFIG).items() if metric.audit == "views"]
    assert len(encoders) == 3
    assert absent_metrics("class", without(*encoders), 3, CONFIG) == {}
    assert set(absent_metrics("class", without(*encoders[1:]), 3, CONFIG)) == set(encoders[1:])


def test_audits_that_were_not_asked_for() -> None:
    few = AuditConfig(audits=("accuracy", "membership"))
    found = absent_metrics("class", without("rebound_accuracy", "knn_accuracy"), 3, few)
    assert found == dict.fromkeys(("rebound_accuracy", "knn_accuracy"), "its audit was not asked for (audit.audits)")


def test_audits_of_classifiers_are_told_of_image_text_models() -> None:
    found = absent_metrics("class", without("noise_pgd"), 3, CONFIG)
    assert found == {"noise_pgd": "it is for classifiers"}
    pairs = [name for name, metric in metrics_of("class", CONFIG).items() if metric.audit == "retrieval"]
    assert "noise_pgd" in absent_metrics("class", without("noise_pgd", *pairs), 3, CONFIG)


def test_pairs_without_classes() -> None:
    found = absent_metrics("sample", figures(forget_i2t_r1=1), 3, CONFIG)
    assert found["mia_auc"] == found["forget_accuracy"] == "the pairs have no classes"
    assert found["relearn_5"] == "too few forget rows to learn from"
    assert "own_share" not in found  # of class requests


def rows_of(labels: list[int], first: int, right: bool = True) -> Predictions:
    eye = np.eye(3, dtype=np.float32)
    logits = np.log(3) * eye[[label if right else (label + 1) % 3 for label in labels]]
    embedding = np.random.default_rng(first).normal(size=(len(labels), 4))
    found = predictions(logits, labels, embedding)
    return replace(found, sample_ids=np.arange(first, first + len(labels)))


SETS = {
    "forget_train": rows_of([0, 0], 10),
    "retain_train": rows_of([1], 20),
    "holdout": rows_of([2], 30, right=False),
    "retain_test": rows_of([1, 2, 2], 40),
    "forget_test": rows_of([0], 50, right=False),
}


def test_accuracy_of_each_class_of_the_test_set() -> None:
    found = per_class_test_accuracy(subject("class", **SETS))
    assert {c: (r.value, r.count) for c, r in found.items()} == {0: (0, 1), 1: (100, 1), 2: (100, 2)}
    sample = per_class_test_accuracy(subject("sample", **SETS))
    assert {c: r.count for c, r in sample.items()} == {1: 1, 2: 2}


def test_a_record_per_sample() -> None:
    table = sample_table("oracle", subject("class", **SETS)).to_pydict()
    assert table["set"] == ["forget"] * 2 + ["retain", "holdout"] + ["test"] * 3 + ["forget_test"]
    assert set(table["role"]) == {"oracle"}
    assert table["sample_id"] == [10, 11, 20, 30, 40, 41, 42, 50]
    assert table["label"] == [0, 0, 1, 2, 1, 2, 2, 0]
    assert table["predicted"] == [0, 0, 1, 0, 1, 2, 2, 1]
    right, wrong = np.log(5 / 3), np.log(5)  # logits log 3, 0, 0
    assert table["loss"] == pytest.approx([right, right, right, wrong, right, right, right, wrong], rel=1e-5)
    assert np.isnan(table["x"]).all()  # too few rows for a map
    assert "forget_test" not in sample_table("oracle", subject("sample", **SETS)).to_pydict()["set"]


def test_test_rows_have_a_place_on_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for nine rows with forgotten ones: of the nine a third part, the forgotten, and half, the others."""
    monkeypatch.setattr("cu_core.audit.report.MAP_ROWS", 18)
    monkeypatch.setattr("cu_core.audit.report.MAP_STEPS", 250)
    sets = SETS | {"retain_test": rows_of([1, 2] * 6, 40), "forget_test": rows_of([0] * 5, 60)}
    made = sample_table("original", subject("class", **sets))
    assert [str(made.schema.field(name).type) for name in "xy"] == ["float", "float"]  # of 32 bits: as few as can be
    table = made.to_pydict()
    placed = [
        i for i, x, y in zip(table["sample_id"], table["x"], table["y"], strict=True) if np.isfinite([x, y]).all()
    ]
    assert placed == [*range(40, 49), *range(60, 63)]


@pytest.mark.parametrize("lengths", [[0.0] * 12, [1.0] * 12, [np.nan] * 12, [1.0, 2.0, 4.0] * 4])
def test_embeddings_that_all_lie_in_one_place_have_no_map(lengths: list[float]) -> None:
    """A collapsed model: t-SNE would end the process by a segmentation fault. Directions are compared, not lengths."""
    embedding = np.repeat(np.array(lengths, np.float32)[:, None], 4, axis=1)
    collapsed = SETS | {"retain_test": replace(rows_of([1, 2] * 6, 40), embedding=embedding)}
    table = sample_table("original", subject("sample", **collapsed)).to_pydict()
    assert np.isnan(table["x"]).all()


def test_prompts_have_a_row_for_each_class_and_ids_of_their_own() -> None:
    model: Any = SimpleNamespace(prompts=torch.zeros(2, 3, 4))  # templates, classes, numbers of an embedding
    assert _prompts("original", model).to_pydict() == {
        "role": ["original"] * 3,
        "set": ["prompt"] * 3,
        "sample_id": [-1, -2, -3],
        "label": [0, 1, 2],
    }


class Prompted(ImageTextClassifier):
    """Knows the features of its class prompts alone."""

    def __init__(self, classes: int):
        torch.nn.Module.__init__(self)
        self.features = torch.eye(4).repeat(2, classes // 4 + 1, 1)[:, :classes]

    def class_features(self) -> torch.Tensor:
        return self.features


@pytest.mark.parametrize(("classes", "drawn"), [(3, {-1, -2, -3}), (60, {-6, -8})])
def test_prompts_on_the_map_have_the_ids_of_their_rows(
    classes: int, drawn: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many classes, those of the forgotten ones alone."""
    monkeypatch.setattr("cu_core.audit.report.MAP_STEPS", 250)
    asked = subject("class", classes=(5, 7))
    asked.model = Prompted(classes)
    places = _map(asked, ["test"], {"test": rows_of([1, 2] * 6, 40)})
    assert {i for i in places if i < 0} == drawn
    assert len(places) == 12 + len(drawn)
