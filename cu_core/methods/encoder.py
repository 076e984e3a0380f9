"""What surrounds the training of an encoder: a projection in place of the head, and a head fitted afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cu_core.dist import seed_everything
from cu_core.errors import UserError
from cu_core.methods.bank import bank_rows, gather_measured
from cu_core.methods.base import Preparation
from cu_core.models.classifier import INPUT, Classifier
from cu_core.models.linear_head import linear_head
from cu_core.types import Batch


def head_name(model: Classifier) -> str:
    """Return the name of the linear layer that is the model's head.

    Raises:
        UserError: The model has none, or several.
    """
    heads = [model.get_submodule(name) for name in model.heads]
    if len(heads) != 1 or not isinstance(heads[0], nn.Linear) or heads[0].bias is None:
        found = ", ".join(type(head).__name__ for head in heads) or "none"
        raise UserError(
            f"train.objective: an encoder needs a model with one head, a linear layer with a bias; this one has "
            f"{found}. Train with cross_entropy or take another model."
        )
    return model.heads[0]


def put_projection(model: Classifier, width: int, seed: int) -> nn.Linear:
    """Put a projection of two layers in the place of the head, in place; the model's logits are then projections.

    Args:
        model: The model.
        width: Output width of the projection.
        seed: Seed of its weights.

    Returns:
        The head.
    """
    name = head_name(model)
    head = model.get_submodule(name)
    assert isinstance(head, nn.Linear)
    inner = head.in_features
    with torch.random.fork_rng(devices=[]):
        seed_everything(seed)
        projection = nn.Sequential(nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, width))
    model.set_submodule(name, projection.to(head.weight))
    return head


def put_head(model: Classifier, head: nn.Linear, prep: Preparation, most_rows: int) -> dict[str, float]:
    """Fit the head on the frozen encoder and put it back in place of the projection. Every rank calls it.

    Args:
        model: The model, in evaluation mode.
        head: What ``put_projection`` returned.
        prep: The same model and its data.
        most_rows: Largest number of retain rows that it is fitted on; of more, they are drawn with the seed.

    Returns:
        Number of the rows, of the rows that there are, and the accuracy on the former (percent).
    """
    (name,) = model.heads
    layer = name.removeprefix("body.") + INPUT
    rows = bank_rows(prep, most_rows)

    def measure(batch: Batch) -> tuple[Tensor, Tensor]:
        return model.features_at(batch.images, layer).float(), batch.labels

    (features, labels), _ = gather_measured(prep, rows, measure)
    weight, bias = (
        torch.from_numpy(x) for x in linear_head(features.cpu().numpy(), labels.cpu().numpy(), prep.num_classes)
    )
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    model.set_submodule(name, head.to(features.device))
    right = (features.double().cpu() @ weight.T + bias).argmax(1) == labels.cpu()
    return {"rows": len(rows), "of": prep.split.num_retain, "accuracy": 100 * float(right.double().mean())}
