"""Distances between the answers of two models, as this rank's share of the global mean. N rows, C classes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cu_core.errors import UserError


def kl_share(student_NC: Tensor, teacher_NC: Tensor, global_count: int, *, temperature: float = 1.0) -> Tensor:
    """Compute this rank's share of the mean KL(teacher || student) of the softened answers.

    Source: Hinton et al. 2015, arXiv 1503.02531, sec. 2 (hence temperature squared).

    Args:
        student_NC: Logits of the student, (N, C).
        teacher_NC: Logits of the teacher, (N, C).
        global_count: Number of rows of all ranks.
        temperature: Divides the logits; positive.

    Returns:
        Scalar, the sum over local rows in nats, times temperature squared, divided by ``global_count``. It is 0 with
        gradient for no rows.

    Raises:
        UserError: The shapes differ or the temperature is not positive.
    """
    if student_NC.shape != teacher_NC.shape or temperature <= 0:
        raise UserError(
            f"logits of one shape and a positive temperature are needed, got {tuple(student_NC.shape)}, "
            f"{tuple(teacher_NC.shape)} and {temperature}."
        )
    student, teacher = (x.float() if x.itemsize < 4 else x for x in (student_NC, teacher_NC))
    log_student, log_teacher = ((x / temperature).log_softmax(1) for x in (student, teacher))
    total = F.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return total * temperature**2 / max(global_count, 1)
