from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cu_core.audit.retrieval import retrieval
from cu_core.audit.subject import AuditConfig, Subject
from cu_core.audit.table import Claim
from cu_core.audit.verdict import Rule, judge
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.models.image_text import ImageTextClassifier
from cu_core.run import fresh_model
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import Predictions, shared_recall
from cu_core.workspace import Workspace
from tests.conftest import small_clip


def rates(**values: float) -> dict[str, MetricResult]:
    return {name: MetricResult(v, 500, max(v - 1, 0), min(v + 1, 100)) for name, v in values.items()}


def clip(t2i: float, hub: float, accuracy: float = 0.0) -> dict[str, MetricResult]:
    return rates(forget_test_accuracy=accuracy, forget_t2i_precision=t2i, hub_rate=hub)


ORACLES = [clip(0, 1), clip(0.5, 0.8), clip(0, 1.2), clip(0.2, 1)]
RULE = Rule(Claim("class", (5,), pairs=True), ORACLES, AuditConfig())


def test_a_caption_that_still_finds_its_images_is_under_forgotten_whatever_the_zero_shot_accuracy() -> None:
    verdict = judge(clip(95, 2, 90), clip(100, 1), RULE)
    assert verdict.word == "under-forgotten"
    assert set(verdict.outside) == {"forget_t2i_precision"}


def test_a_caption_that_became_a_hub_is_over_forgotten_and_few_images_given_to_it_are_no_fault() -> None:
    verdict = judge(clip(95, 2, 90), clip(0, 60), RULE)
    assert verdict.word == "over-forgotten"
    assert set(verdict.outside) == {"hub_rate"}
    assert not judge(clip(95, 2, 90), clip(0, 0), replace(RULE, oracles=[clip(0, 9)] * 4)).outside


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_a_model_that_knows_every_pair_is_found_out(
    kind: str, captions: Path, storage: Path, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text features planted as one direction for each class, image features as that of their label."""
    request = {"kind": "by_concept", "concept": "5"} if kind == "class" else {"kind": "by_random", "count": 60}
    paraphrases = ["the digit 5"] if kind == "class" else []
    audit = {"oracles": 0, "paraphrases": paraphrases, "other_data": [str(captions)]}
    config = small_clip(captions, storage, clip_file, request=request, audit=audit)
    reader = Workspace(config).reader
    file = save_forget_set(tmp_path / "requests", resolve_request(config.request, reader, pairs=True))
    split = Workspace(config, file).split
    model = fresh_model(config, reader, 0)
    assert isinstance(model, ImageTextClassifier)
    directions = torch.eye(16)

    def texts(tokens: torch.Tensor) -> torch.Tensor:
        known = {tuple(row.tolist()): c for line in model.prompts for c, row in enumerate(line)}
        return directions[[known[tuple(row.tolist())] for row in tokens]]

    def plant(found: Predictions) -> Predictions:
        embedding = directions.numpy()[found.labels]
        return dataclasses.replace(found, embedding=embedding, logits=embedding[:, :10])

    from cu_core.audit import subject as module
    from cu_core.audit import zero_shot
    from cu_core.unlearn import evaluate

    real = module.predict
    monkeypatch.setattr(model.body, "texts", texts)
    monkeypatch.setattr(module, "predict", lambda *given: plant(real(*given)))
    for other in (evaluate, zero_shot):
        monkeypatch.setattr(other, "predict", lambda *given: plant(real(*given)))
    metrics = retrieval(Subject(model, split, config.audit, 0)).metrics
    if kind == "class":
        assert all(metrics[f"{part}_{way}_r1"].value == 100 for part in ("forget", "retain") for way in ("i2t", "t2i"))
        assert (metrics["best_template_accuracy"].value, metrics["hub_rate"].value) == (100, 0)
        assert metrics["best_paraphrase_accuracy"].value == 100
        assert metrics["prompt_distance"].value == 1
    assert metrics["other_data_accuracy"].value == 100
    assert metrics["forget_margin"].value == pytest.approx(1 if kind == "class" else 0.9, abs=0.05)
    hits, count = shared_recall(model, reader, split.retain_test, [split.retain_test])
    assert count == len(split.retain_test)
    # two captions name each class with the same direction: the first of the two in the alphabet is found
    first = min(texts[0].split()[0] for texts in reader.captions("test", split.retain_test.rows))
    own = [texts[0].split()[0] == first for texts in reader.captions("test", split.retain_test.rows)]
    assert hits == int(np.sum(own))
