"""Two layers of a body are read beside its logits; several sets pass at once."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cu_core.errors import UserError
from cu_core.models.batch_norm import RowBatchNorm, set_batch_norm
from cu_core.models.classifier import Classifier, JointForward, Predictor
from cu_core.models.preprocess import Preprocess
from cu_core.types import Outputs

BYTES = Preprocess(4, (0.0,), (1 / 255,))
IMAGES = torch.arange(32, dtype=torch.uint8).view(2, 1, 4, 4)


def close(found: Tensor, wanted: Any) -> None:
    torch.testing.assert_close(found.detach(), torch.as_tensor(wanted, dtype=torch.float32))


class Layer(nn.Module):
    def __init__(self, change: Callable[[Tensor], Any]):
        super().__init__()
        self.change = change

    def forward(self, x: Any) -> Any:
        return self.change(x)


class Body(nn.Module):
    """``shaped`` is ``change`` of the pixels; logits are two sums of pixels."""

    def __init__(self, change: Callable[[Tensor], Any]):
        super().__init__()
        self.shaped, self.head = Layer(change), nn.Linear(16, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.stack([torch.ones(16), torch.arange(16.0)]))

    def forward(self, x: Tensor) -> Tensor:
        self.shaped(x)
        return self.head(x.flatten(1))


def features(change: Callable[[Tensor], Any], layer: str = "shaped") -> Tensor:
    found: Tensor = Classifier(Body(change), layer, "head", BYTES)(IMAGES).embedding
    return found.detach()


MEANS = IMAGES.float().mean((1, 2, 3))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda x: torch.cat([x, x + 1, x * 0], 1), [[m, m + 1, 0] for m in MEANS.tolist()]),
        (lambda x: torch.cat([x, x + 1, x * 0], 1).permute(0, 2, 3, 1), [[m, m + 1, 0] for m in MEANS.tolist()]),
        (lambda x: x.flatten(2).mT.repeat(1, 1, 2), [[m, m] for m in MEANS.tolist()]),
        (lambda x: x.flatten(1)[:, :3], [[0, 1, 2], [16, 17, 18]]),
        (lambda x: (x.flatten(1)[:, :1], None), [[0], [16]]),
    ],
    ids=["channels first", "channels last", "tokens", "vector", "the first of several"],
)
def test_features_of_any_shape_become_vectors(change: Callable[[Tensor], Any], wanted: list[list[float]]) -> None:
    torch.testing.assert_close(features(change), torch.tensor(wanted, dtype=torch.float32))


def test_the_input_of_a_layer_may_be_read() -> None:
    torch.testing.assert_close(features(lambda x: -x, "shaped:input"), MEANS[:, None])
    torch.testing.assert_close(features(lambda x: -x, "head:input"), IMAGES.flatten(1).float())


def test_outputs_are_embedding_hidden_and_logits() -> None:
    out = Classifier(Body(lambda x: x.flatten(1)[:, :1]), "shaped", "head:input", BYTES)(IMAGES)
    close(out.embedding, [[0], [16]])
    close(out.hidden, IMAGES.flatten(1))
    sums = [[float(row.sum()), float((row * torch.arange(16)).sum())] for row in IMAGES.flatten(1).long()]
    close(out.logits, sums)


@pytest.mark.parametrize("layers", [("shape", "head"), ("head", "nothing:input")], ids=str)
def test_a_layer_that_is_not_there_is_named_beside_those_that_are(layers: tuple[str, str]) -> None:
    with pytest.raises(UserError, match=r"^the model has no layer '.*'; its layers: shaped, head\.$"):
        Classifier(Body(lambda x: x), *layers, BYTES)


def test_depths_are_means_over_the_quarters_of_the_image() -> None:
    """Rows of 4 x 4 pixels 0..15: the quarter at the upper left has the pixels 0, 1, 4 and 5."""
    model = Classifier(Body(lambda x: x), "head", "shaped", BYTES)
    assert model.depths == ("shaped",)
    model.depths = ("shaped", "head:input")
    (quarters, plain), logits = model.at_depths(IMAGES)
    close(quarters, [[2.5, 4.5, 10.5, 12.5], [18.5, 20.5, 26.5, 28.5]])
    close(plain, IMAGES.flatten(1))
    torch.testing.assert_close(logits, model(IMAGES).logits)


def test_no_hook_is_left_even_by_a_pass_that_fails() -> None:
    body = Body(lambda x: x)
    model = Classifier(body, "shaped", "head", BYTES)
    model(IMAGES)
    with pytest.raises(RuntimeError):
        model(IMAGES.repeat(1, 2, 1, 1)[..., :3])
    assert not body.shaped._forward_hooks
    assert not body.head._forward_hooks


def test_a_model_is_copied_and_pickled() -> None:
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), "0", "1", BYTES)
    wanted = model(IMAGES).logits
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other(IMAGES).logits, wanted)


def test_a_classifier_reads_no_captions() -> None:
    with pytest.raises(TypeError, match="Classifier reads no captions"):
        Classifier(Body(lambda x: x), "head", "head", BYTES).texts(torch.zeros(1, 2))


def test_a_predictor_preprocesses() -> None:
    model = Classifier(Body(lambda x: x), "head", "head", Preprocess(4, (0.5,), (0.25,)))
    assert model.program() is model.body
    for images in (IMAGES, IMAGES.float()):
        torch.testing.assert_close(Predictor(model)(images), model(IMAGES).logits)
    plain = model.body((IMAGES.float() / 255 - 0.5) / 0.25)
    torch.testing.assert_close(Predictor(model)(IMAGES), plain)


class Both(Classifier):
    """Captions are their own embedding; each pass is counted."""

    def __init__(self) -> None:
        super().__init__(Body(lambda x: x.flatten(1)[:, :1]), "shaped", "head:input", BYTES)
        self.passes: list[tuple[str, int]] = []

    def forward(self, images: Tensor) -> Outputs:
        self.passes.append(("images", len(images)))
        out = super().forward(images)
        return Outputs(out.embedding, out.hidden, out.logits, torch.tensor(3.0), torch.tensor(-1.0))

    def texts(self, tokens: Tensor) -> Outputs:
        self.passes.append(("texts", len(tokens)))
        return Outputs(tokens, tokens, tokens[:, :0])


def test_sets_pass_at_once_and_get_their_own_rows() -> None:
    images = torch.arange(48, dtype=torch.uint8).view(3, 1, 4, 4)
    tokens = torch.arange(6).view(3, 2)
    model = Both()
    sets = {"forget": images[:1], "forget texts": tokens[:1], "retain": images[1:], "retain texts": tokens[1:]}
    out = JointForward(model)(sets)
    assert model.passes == [("images", 3), ("texts", 3)]
    assert set(out) == set(sets)
    close(out["forget"].embedding, [[0]])
    close(out["retain"].embedding, [[16], [32]])
    close(out["retain"].hidden, images[1:].flatten(1))
    close(out["retain"].logits[:, 0], [float(x.sum()) for x in images[1:].long()])
    assert (out["retain"].scale, out["retain"].bias) == (torch.tensor(3.0), torch.tensor(-1.0))
    assert [out[f"{name} texts"].embedding.tolist() for name in ("forget", "retain")] == [[[0, 1]], [[2, 3], [4, 5]]]


def test_a_set_without_rows_is_there() -> None:
    out = JointForward(Both())({"forget": IMAGES[:0], "retain": IMAGES})
    assert out["forget"].logits.shape == (0, 2)
    assert out["retain"].logits.shape == (2, 2)


@pytest.mark.parametrize(
    ("sizes", "first"),
    [({"forget": 2, "retain": 3}, 2), ({"retain": 3}, 0), ({"forget": 2}, None), ({"a": 1, "b": 2, "retain": 1}, 3)],
    ids=str,
)
def test_rows_before_the_retain_set_do_not_feed_its_statistics(sizes: dict[str, int], first: int | None) -> None:
    body = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 2))
    set_batch_norm(body, "retain")
    images = {name: torch.zeros(count, 1, 4, 4, dtype=torch.uint8) for name, count in sizes.items()}
    JointForward(Classifier(body, "1", "1", BYTES))(images)
    assert isinstance(body[0], RowBatchNorm)
    assert body[0].first_row == first
