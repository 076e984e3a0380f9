"""Cross-entropy as this rank's share of the global mean."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy_share(logits_NC: Tensor, labels_N: Tensor, global_count: int) -> Tensor:
    """Sum of -log p(label) over local rows divided by the rows of all ranks; 0 with gradient for no rows."""
    return F.cross_entropy(logits_NC.float() if logits_NC.itemsize < 4 else logits_NC, labels_N, reduction="sum") / max(
        global_count, 1
    )


def soft_cross_entropy_share(logits_NC: Tensor, targets_NC: Tensor, global_count: int) -> Tensor:
    """Sum over local rows of the cross-entropy against class probabilities, divided by the rows of all ranks; 0 with
    gradient for no rows."""
    logits = logits_NC.float() if logits_NC.itemsize < 4 else logits_NC
    return -(targets_NC.to(logits) * logits.log_softmax(1)).sum() / max(global_count, 1)
