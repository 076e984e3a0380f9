"""The projection that stands in for the head, and the head that is fitted afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cu_core.errors import UserError
from cu_core.methods.base import Preparation
from cu_core.methods.encoder import head_name, put_head, put_projection
from cu_core.models.build import ModelConfig, build_model
from cu_core.models.classifier import Classifier
from cu_core.models.linear_head import linear_head
from cu_core.models.preprocess import Preprocess
from cu_core.run import fresh_model
from cu_core.workspace import Workspace
from tests.conftest import small

IMAGES = torch.randint(256, (4, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
CONFIGS = [ModelConfig(name="resnet10", width=2), ModelConfig(name="vit_mini", width=32, depth=1)]


def model_of(config: ModelConfig) -> Classifier:
    return build_model(config, ["a", "b", "c"], Preprocess(8, (0.5,), (0.2,)), 0).eval()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_logits_are_projections_of_what_the_head_reads(config: ModelConfig) -> None:
    model = model_of(config)
    before = model(IMAGES)
    head = put_projection(model, 6, seed=3)
    out = model(IMAGES)
    assert out.logits.shape == (4, 6)
    torch.testing.assert_close(out.embedding, before.embedding)
    projection = model.get_submodule(model.heads[0])
    torch.testing.assert_close(projection(out.embedding), out.logits)
    torch.testing.assert_close(head(out.embedding), before.logits)
    again = model_of(config)
    put_projection(again, 6, seed=3)
    assert torch.equal(again(IMAGES).logits, out.logits)
    put_projection(other := model_of(config), 6, seed=4)
    assert not torch.equal(other(IMAGES).logits, out.logits)


class Two(nn.Module):
    def __init__(self, head: nn.Module):
        super().__init__()
        self.flat, self.head = nn.Flatten(), head


@pytest.mark.parametrize(
    ("heads", "head", "found"),
    [
        ((), nn.Linear(4, 3), "none"),
        (("body.head",), nn.Conv2d(4, 3, 1), "Conv2d"),
        (("body.head",), nn.Linear(4, 3, bias=False), "Linear"),
        (("body.head", "body.head"), nn.Linear(4, 3), "Linear, Linear"),
    ],
    ids=["none", "no linear layer", "no bias", "two"],
)
def test_models_without_one_linear_head_are_refused(heads: tuple[str, ...], head: nn.Module, found: str) -> None:
    model = Classifier(Two(head), "flat", "flat", Preprocess(8, (0.5,), (0.2,)))
    model.heads = heads
    with pytest.raises(UserError, match=f"one head, a linear layer with a bias; this one has {found}\\."):
        head_name(model)


@pytest.fixture
def prepared(digits: Path, storage: Path, class_request: Path) -> Any:
    config = small(digits, storage, model={"name": "resnet10", "width": 4})
    workspace = Workspace(config, class_request)
    model = fresh_model(config, workspace.reader, 0).eval()
    return model, Preparation(model, None, workspace.split, 0, {})


def test_the_head_is_fitted_on_retain_rows_alone_and_back_in_its_place(prepared: Any) -> None:
    model, prep = prepared
    names = list(model.state_dict())
    head = put_projection(model, 6, seed=0)
    record = put_head(model, head, prep, most_rows=300)
    assert list(model.state_dict()) == names
    assert model.get_submodule(model.heads[0]) is head
    split = prep.split
    rows = split.retain_rows(np.arange(split.num_retain))
    with torch.no_grad():
        out = model(split.reader.images("train", rows))
    answers = out.logits.argmax(1)
    assert 5 not in answers  # the forgotten class: no row of it was seen
    right = 100 * float((answers.numpy() == split.reader.labels("train", rows)).mean())
    assert (record["rows"], record["of"]) == (300, split.num_retain)
    assert record["accuracy"] > 60  # untrained features of digits
    assert right > 50
    labels = split.reader.labels("train", rows)
    weight, _ = linear_head(out.embedding.numpy(), labels, 10)  # all rows: near, not the same
    assert not np.allclose(weight, head.weight.detach().numpy(), atol=1e-6)
    put_head(model, head, prep, most_rows=10**6)
    np.testing.assert_allclose(head.weight.detach().numpy(), weight, rtol=0.05, atol=0.05)
