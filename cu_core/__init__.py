"""Contrastive unlearning for vision models: data, losses, methods, the loop and the audit.

The package imports neither Ray nor MLflow. Every part runs in a plain Python process or under ``torchrun``. The names
below are the Python API for notebooks and other trainers. Each is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cu_core.api import (
        Audit,
        audit_models,
        load_model,
        save_model,
        train_model,
        unlearn_model,
        wrap,
    )
    from cu_core.api_data import open_data, select
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
    """Import a public name on first use."""
    if name == "UserError":
        from cu_core.errors import UserError

        return UserError
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("cu_core.api_data" if name in ("open_data", "select") else "cu_core.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
