"""All methods, by name. A new one is a file, a line here and a mirrored test."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from cu_core.methods.base import Method
from cu_core.methods.contrastive import Contrastive
from cu_core.methods.finetune import FineTune

MethodConfig = Annotated[Contrastive | FineTune, Discriminator("name")]

METHODS: dict[str, type[Contrastive] | type[FineTune]] = {
    "contrastive": Contrastive,
    "finetune": FineTune,
}


def as_method(config: MethodConfig) -> Method:
    return config
