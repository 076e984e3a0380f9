"""Which settings affect which result: the one table from which the keys of all stored results are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal

Product = Literal["trained", "imported", "unlearned", "figures", "report"]
"""An original or oracle that is trained; an original taken from a file; an unlearned model (beside its original); what
one model shows in the audit (beside its weights); the report (beside the models)."""
ALL: tuple[Product, ...] = ("trained", "imported", "unlearned", "figures", "report")
EFFECTS: Mapping[str, tuple[Product, ...]] = {
    "name": (),
    "storage": (),
    "preset": (),  # its values are settings themselves
    "tracking": (),
    "data.path": (),  # the digest of the data
    "data.half": (),
    "request": (),  # the digest of the rows to forget
    "seed": ("trained", "unlearned", "figures"),
    "batch_norm": ("unlearned",),
    "model": ("trained", "imported", "figures"),
    "train": ("trained",),
    "train.objective": ("trained", "figures"),
    "train.workers": (),
    "train.workers.count": ("trained",),
    "train.workers.min_count": ("trained",),
    "trainable": ("unlearned",),
    "method": ("unlearned",),
    "optimizer": ("unlearned",),
    "batches": ("unlearned",),
    "stop": ("unlearned",),
    "data.retain_shards": ("unlearned", "figures"),
    "audit.stop_rows": ("unlearned", "figures"),
    "audit.audits": ("figures", "report"),
    "audit.more_audits": ("figures", "report"),
    "audit.max_rows": ("figures", "report"),
    "audit.tasks": (),
    "audit.report_on": ("figures", "report"),
    "audit.optimizer": ("figures", "report"),
    "audit.rebound_steps": ("figures", "report"),
    "audit.rebound_lr": ("figures", "report"),
    "audit.rebound_batch": ("figures", "report"),
    "audit.relearn_steps": ("figures", "report"),
    "audit.relearn_lr": ("figures", "report"),
    "audit.noise_levels": ("figures", "report"),
    "audit.paraphrases": ("figures", "report"),
    "audit.languages": ("figures", "report"),
    "audit.style_column": ("figures", "report"),
    "audit.other_data": (),  # the digests of these data
    "audit.forget_rows": ("figures", "report"),
    "audit.low_fpr": ("figures", "report"),
    "audit.oracles": ("report",),
    "audit.margin_points": ("report",),
    "audit.family_error": ("report",),
    "workers.precision": ("trained", "imported", "unlearned", "figures"),
    "workers.count": ("unlearned",),
    "workers.min_count": ("unlearned",),
    "workers.cpus": (),
    "workers.placement": (),
    "workers.gpu": (),  # recorded with the model, and told
    "workers.models_per_gpu": (),
    "workers.rows_at_once": (),
    "workers.recompute": (),
    "workers.shard": (),
    "workers.checkpoint_every": (),
    "workers.profile": (),
    "workers.max_failures": (),
}
"""What a setting, or all of a part, changes. One that is not named changes everything."""
ONLY_IF: Mapping[str, Callable[[Any], bool]] = {
    "workers.count": lambda config: config.batch_norm == "per_rank",
    "workers.min_count": lambda config: config.batch_norm == "per_rank",
    "train.workers.count": lambda config: config.batch_norm == "per_rank" and config.train.workers.count > 1,
    "train.workers.min_count": lambda config: config.batch_norm == "per_rank" and config.train.workers.count > 1,
}
"""Settings that change nothing unless others have a certain value."""


def effects_of(path: str) -> tuple[Product, ...]:
    """Return what a setting changes; if it is not in the table, the nearest part that contains it counts."""
    parts = path.split(".")
    named = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((EFFECTS[name] for name in named if name in EFFECTS), ALL)


def settings_of(config: Any, products: Collection[Product]) -> dict[str, Any]:
    """Return the settings that change one of the products, as nested mappings."""
    return _settings(config, config, "", products)


def _settings(config: Any, part: Any, path: str, products: Collection[Product]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(part):
        name, value = f"{path}{field.name}", getattr(part, field.name)
        if is_dataclass(value):
            if inner := _settings(config, value, f"{name}.", products):
                found[field.name] = inner
        elif set(effects_of(name)) & set(products) and ONLY_IF.get(name, lambda config: True)(config):
            found[field.name] = value
    return found
