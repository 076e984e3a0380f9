"""Every row of every table passes the same tests; a new method, model, source or metric is covered by being listed."""

from __future__ import annotations

import copy
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from cu_core.audit.answers import answers_of
from cu_core.audit.explain import EXPLANATIONS, explain
from cu_core.audit.subject import AuditName, Subject
from cu_core.audit.table import AUDITS, METRICS, Claim, audit_against, audit_alone, metrics_of
from cu_core.config_io import config_from
from cu_core.data.convert import SOURCES
from cu_core.models.build import MODELS, ModelConfig, build_model
from cu_core.models.classifier import Predictor
from cu_core.models.preprocess import Preprocess
from cu_core.presets import PRESETS
from cu_core.run import Hooks, fresh_model, run_unlearn
from cu_core.types import RequestKind
from cu_core.workspace import Workspace
from tests.conftest import knows, small

GRAY = Preprocess(16, (0.5,), (0.25,))
COLOUR = Preprocess(32, (0.5, 0.4, 0.3), (0.25, 0.2, 0.2))


def config_of(name: str) -> ModelConfig:
    return ModelConfig(name=name, width=32 if name == "vit_mini" else 8, depth=2)


@pytest.mark.parametrize("name", MODELS)
def test_models_give_embedding_hidden_and_logits_and_can_be_copied(name: str) -> None:
    preprocess = COLOUR if name != "vit_mini" else Preprocess(16, (0.5,) * 3, (0.2,) * 3)
    config = config_of(name)
    model = build_model(config, [str(c) for c in range(7)], preprocess, seed=1).eval()
    images = torch.randint(256, (2, 3, 20, 20), dtype=torch.uint8)
    out = model(images)
    assert out.logits.shape == (2, 7)
    assert out.embedding.shape[0] == out.hidden.shape[0] == 2
    assert out.embedding.dim() == out.hidden.dim() == 2
    copied = copy.deepcopy(model)
    with torch.no_grad():
        next(copied.parameters()).add_(1)
    torch.testing.assert_close(model(images).logits, out.logits)
    torch.testing.assert_close(Predictor(model)(images.float()), out.logits)
    again = build_model(config, [str(c) for c in range(7)], preprocess, seed=1).state_dict()
    assert all(torch.equal(v, again[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_a_projection_is_normalised_and_feeds_the_classifier(name: str) -> None:
    config = ModelConfig(name=name, width=32, depth=2, projection=6)
    model = build_model(config, ["a", "b", "c"], Preprocess(16, (0.5,), (0.2,)), 0).eval()
    out = model(torch.randint(256, (4, 1, 16, 16), dtype=torch.uint8))
    assert out.embedding.shape == (4, 6)
    torch.testing.assert_close(out.embedding.norm(dim=1), torch.ones(4))


def test_every_source_is_documented() -> None:
    assert all(source.__doc__ for source in SOURCES.values())


@pytest.mark.parametrize(("preset", "kind"), PRESETS)
def test_presets_are_valid_and_have_an_effect(preset: str, kind: RequestKind) -> None:
    request = {"kind": "by_class"} if kind == "class" else {"kind": "by_random", "count": 3}
    config = config_from({"preset": preset, "request": request})
    assert config.method.name == "contrastive"


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_every_metric_is_computed_finite_and_in_range(
    kind: RequestKind, digits: Path, storage: Path, class_request: Path, sample_request: Path
) -> None:
    config = small(digits, storage)
    reader = Workspace(config).reader
    split = Workspace(config, class_request if kind == "class" else sample_request).split
    subjects = [Subject(fresh_model(config, reader, seed), split, config.audit, 0) for seed in (0, 1)]
    answers = [answers_of(subject) for subject in subjects]
    alone = audit_alone(subjects[0])
    results = {**alone.metrics, **audit_against(kind, config.audit, answers[0], answers[1:], knows(answers[0]))}
    too_few = {"relearn_50", "relearn_50_steps"} if kind == "sample" else set()  # of 40 rows, half are reported
    others = {n for n, m in METRICS.items() if AUDITS[m.audit].pairs_only or AUDITS[m.audit].encoders_only}
    assert set(results) == set(metrics_of(kind, config.audit)) - too_few - others
    for curve in alone.curves.values():
        assert len(curve) == config.audit.relearn_steps + 1
        assert all(0 <= value <= 100 for value in curve)
    for name, result in results.items():
        points = METRICS[name].points(result)
        assert np.isfinite(points)
        if name == "memorisation_left":  # a share of the original's; another untrained model may lie anywhere
            continue
        assert (-100 if name == "within_class_cosine" else 0) <= points <= (240 if "entropy" in name else 100) + 1e-6
        assert result.count > 0
        if result.low is not None and result.high is not None:
            assert result.low <= result.value <= result.high


def test_every_request_has_primary_metrics_in_every_audit_of_its_claim() -> None:
    for claim in (Claim("class", (5,)), Claim("class", (3, 5)), Claim("sample"), Claim("class", (5,), pairs=True)):
        assert set(claim.audits) <= {METRICS[name].audit for name in claim.judged}
        assert all(claim.kind in METRICS[name].kinds for name in claim.judged)
        assert ("forget_i2t_r1" in claim.judged) == claim.pairs
        for audit in claim.audits:  # each can tell the original from the oracles
            sides = {METRICS[name].side for name in claim.judged if METRICS[name].audit == audit}
            assert sides & {"forget", "projection"}
    bare = Claim("sample", pairs=True, labelled=False)
    assert {METRICS[name].audit for name in bare.judged} == {"retrieval", "wordings", "languages"}
    assert set(bare.audits) == {"retrieval"}
    assert len(Claim("class", (3, 5)).judged) == len(Claim("class", (5,)).judged) + 3


def test_every_metric_is_explained_and_every_audit_has_one() -> None:
    assert set(EXPLANATIONS) == set(METRICS)
    assert {m.audit for m in METRICS.values()} == set(AUDITS) == set(typing.get_args(AuditName))
    for name in METRICS:
        assert METRICS[name].title in explain(name)
    with pytest.raises(ValueError, match="no metric 'nothing'; metrics: forget_accuracy"):
        explain("nothing")
    assert "one-sided" in explain("u_lira_offline_auc")


@pytest.mark.parametrize("mode", ["synced", "per_rank", "retain", "frozen"])
def test_every_batch_norm_mode_runs(
    mode: str, digits: Path, storage: Path, class_request: Path, tmp_path: Path
) -> None:
    from cu_core.run import run_train

    config = small(digits, storage, batch_norm=mode, stop={"max_steps": 2, "rule": "none"}, train={"epochs": 0.2})
    run_train(Workspace(config), tmp_path / "original", Hooks())
    assert run_unlearn(Workspace(config, class_request), tmp_path / "original", tmp_path / "out", Hooks()).steps == 2
