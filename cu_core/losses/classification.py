"""Cross-entropy as this rank's share of the global mean."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy_share(logits_NC: Tensor, labels_N: Tensor, global_count: int) -> Tensor:
    """Compute this rank's share of the mean cross-entropy.

    Args:
        logits_NC: Logits of the local rows, (N, C).
        labels_N: Labels, int64 (N,).
        global_count: Number of rows of all ranks.

    Returns:
        Scalar, the sum of -log p(label) over local rows, divided by ``global_count``; 0 with gradient for no rows.
    """
    return F.cross_entropy(logits_NC.float() if logits_NC.itemsize < 4 else logits_NC, labels_N, reduction="sum") / max(
        global_count, 1
    )


def soft_cross_entropy_share(logits_NC: Tensor, targets_NC: Tensor, global_count: int) -> Tensor:
    """Compute this rank's share of the mean cross-entropy against class probabilities.

    Args:
        logits_NC: Logits of the local rows, (N, C).
        targets_NC: Class probabilities, (N, C).
        global_count: Number of rows of all ranks.

    Returns:
        Scalar, the sum over local rows, divided by ``global_count``; 0 with gradient for no rows.
    """
    logits = logits_NC.float() if logits_NC.itemsize < 4 else logits_NC
    return -(targets_NC.to(logits) * logits.log_softmax(1)).sum() / max(global_count, 1)
