"""Contrastive unlearning for vision models: data, losses, methods, the loop and the audit.

Imports neither Ray nor MLflow; every part runs in a plain Python process or under ``torchrun``. The names below are the
library for notebooks and other trainers; they are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cu_core.api import (
        Audit,
        audit_models,
        load_model,
        open_data,
        save_model,
        select,
        train_model,
        unlearn_model,
        wrap,
    )
    from cu_core.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "Audit",
    "UserError",
    "audit_models",
    "load_model",
    "open_data",
    "save_model",
    "select",
    "train_model",
    "unlearn_model",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name == "UserError":
        from cu_core.errors import UserError

        return UserError
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("cu_core.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
