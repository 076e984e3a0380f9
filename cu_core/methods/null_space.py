"""Projecting the concept's captions out of image embeddings: a cheap control for image-text models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from cu_core.methods.base import ClosedForm, ModelKind, Need, Preparation
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import RequestKind


@dataclass(frozen=True, kw_only=True)
class NullSpace(ClosedForm):
    """Removes from image embeddings the directions that separate the concept's prompts from those of all classes.

    The towers below the projection are unchanged, so probes before it must find the whole concept.
    """

    name: Literal["null_space"] = "null_space"
    source: ClassVar[str] = "Bolukbasi et al. 2016, arXiv 1607.06520, sec. 6 (projection), on CLIP's captions"
    kinds: ClassVar[tuple[RequestKind, ...]] = ("class",)
    models: ClassVar[tuple[ModelKind, ...]] = ("image-text",)
    control: ClassVar[bool] = True

    def needs(self) -> frozenset[Need]:
        """No rows: the weights are enough."""
        return frozenset()

    def prepare(self, prep: Preparation) -> int:
        """Project the directions out.

        Raises:
            UserError: The model has no linear projection to edit.
        """
        assert isinstance(prep.model, ImageTextClassifier)
        prompts = prep.model.class_features().mean(0)
        apart = F.normalize(prompts - prompts.mean(0), dim=-1)[list(prep.split.forget.classes)]
        basis = torch.linalg.qr(apart.T.double()).Q.to(prompts)
        prep.model.body.project_out(basis)
        return 0
