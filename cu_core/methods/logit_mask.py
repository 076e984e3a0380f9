"""Masking the class's logit: a control that looks perfect to accuracy and forgets nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from cu_core.errors import UserError
from cu_core.methods.base import ClosedForm, Need, Preparation
from cu_core.types import RequestKind

MASKED = -1e4


@dataclass(frozen=True, kw_only=True)
class LogitMask(ClosedForm):
    """Masks the forgotten classes in the head; every feature is unchanged, so probes must find the whole class."""

    name: Literal["logit_mask"] = "logit_mask"
    source: ClassVar[str] = "Ebrahimpour-Boroojeny et al. 2026, Unlearning Isn't Forgetting (control)"
    kinds: ClassVar[tuple[RequestKind, ...]] = ("class",)
    control: ClassVar[bool] = True

    def needs(self) -> frozenset[Need]:
        """No rows: the weights are enough."""
        return frozenset()

    def prepare(self, prep: Preparation) -> int:
        """Set the weights of the forgotten classes to 0 and their biases to ``MASKED``.

        Raises:
            UserError: The model has no final linear layer with a bias.
        """
        heads = [
            m for m in prep.model.body.modules() if isinstance(m, nn.Linear) and m.out_features == prep.num_classes
        ]
        if not heads or heads[-1].bias is None:
            raise UserError("method.name=logit_mask needs a final linear layer with a bias; this model has none.")
        classes = list(prep.split.forget.classes)
        with torch.no_grad():
            heads[-1].weight[classes] = 0
            heads[-1].bias[classes] = MASKED
        return 0
