"""Noise: do small changes of the pixels bring forget rows back to their class?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cu_core.audit.subject import Findings, Subject
from cu_core.data.forget_split import RowSet
from cu_core.metrics.accuracy import mean_rate
from cu_core.models.classifier import Classifier
from cu_core.models.image_text import ImageTextClassifier
from cu_core.salts import Salt
from cu_core.unlearn.evaluate import ROWS_AT_ONCE

MOST_ROWS = 500
"""Forget rows that are perturbed at most; each is forwarded 17 times and differentiated 5 times."""
DRAWS = 10
"""Random perturbations of a row."""
PGD_STEPS = 5
STEP_FACTOR = 2.5
"""Length of all PGD steps together, in sizes of the perturbation (Madry et al. 2018)."""


def noise(subject: Subject) -> Findings:
    """Measure how many forget rows small perturbations bring back; empty for image-text models.

    A row is brought back if the model answers its label with the perturbation and another class without it. The figures
    are percent of all perturbed rows. ``noise_random``: uniform noise of at most ``audit.noise_levels`` on each pixel,
    mean over draws. ``noise_pgd``: the perturbation of that size that projected gradient descent finds.
    """
    model, split, config = subject.model, subject.split, subject.config
    if isinstance(model, ImageTextClassifier):
        return Findings({})
    rng = np.random.default_rng([subject.seed, Salt.NOISE])
    rows = split.forget_reported
    count = min(len(rows), MOST_ROWS, config.max_rows)
    chosen = np.sort(rng.choice(rows.rows, count, replace=False))
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    by_chance, by_descent = [], []
    for images, labels in _batches(subject, RowSet(rows.split, chosen)):
        images, labels = images.to(device), labels.to(device)
        wrong = ~_right(model, images, labels)
        drawn = [_right(model, _random(images, config.noise_levels, rng), labels) for _ in range(DRAWS)]
        by_chance.append((torch.stack(drawn) & wrong).float().mean(0))
        by_descent.append((_right(model, descend(model, images, labels, config.noise_levels), labels) & wrong).float())
    model.train(was_training)
    found = {"noise_random": by_chance, "noise_pgd": by_descent}
    return Findings({name: mean_rate(torch.cat(parts).cpu().numpy()) for name, parts in found.items()})


def _batches(subject: Subject, rows: RowSet) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images, float (N, channels, H, W) of values 0..255, and labels."""
    reader = subject.split.reader
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows.rows[start : start + ROWS_AT_ONCE]
        yield reader.images(rows.split, part).float(), torch.from_numpy(reader.labels(rows.split, part))


@torch.no_grad()
def _right(model: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    return model(images).logits.argmax(1) == labels  # type: ignore[no-any-return]


def _random(images: Tensor, size: float, rng: np.random.Generator) -> Tensor:
    change = rng.uniform(-size, size, images.shape).astype(np.float32)
    return (images + torch.from_numpy(change).to(images.device)).clamp(0, 255)


def descend(model: Classifier, images: Tensor, labels: Tensor, size: float) -> Tensor:
    """Search the perturbation of each image that lowers its cross-entropy most, by projected gradient descent.

    Source: Madry et al. 2018, https://arxiv.org/abs/1706.06083, sec. 2.1, with the sign turned: towards the label. It
    starts at the image itself, so it draws nothing.

    Args:
        model: The model, in evaluation mode.
        images: Values 0..255, float (N, channels, H, W).
        labels: (N,).
        size: Largest change of a pixel, of 255 levels.

    Returns:
        The perturbed images, values 0..255.
    """
    low, high = (images - size).clamp_min(0), (images + size).clamp_max(255)
    step, moved = STEP_FACTOR * size / PGD_STEPS, images
    for _ in range(PGD_STEPS):
        moved = moved.detach().requires_grad_(True)
        with torch.enable_grad():
            loss = F.cross_entropy(model(moved).logits.float(), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, moved)
        moved = torch.clamp(moved.detach() - step * gradient.sign(), low, high)
    return moved
