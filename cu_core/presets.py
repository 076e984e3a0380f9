"""Named settings per request kind; what a user writes goes over them."""

from __future__ import annotations

from typing import Any

from cu_core.types import RequestKind

PAPER_OPTIMIZER = {"name": "sgd", "lr": 0.001, "momentum": 0.9}
PAPER_METHOD = {
    "name": "contrastive",
    "terms": "both",
    "temperature": 0.7,
    "lambda_ul": 3.0,
    "lambda_ce": 1.0,
    "detach_retain": False,
}

PRESETS: dict[tuple[str, RequestKind], dict[str, Any]] = {
    ("paper", "class"): {
        "method": PAPER_METHOD,
        "optimizer": PAPER_OPTIMIZER,
        "batches": {"forget_batch": 64, "retain_batch": 64, "omega": 4},
        "stop": {"max_steps": 320, "further_steps": 0},
    },
    ("paper", "sample"): {
        "method": PAPER_METHOD,
        "optimizer": PAPER_OPTIMIZER,
        "batches": {"forget_batch": 128, "retain_batch": 128, "omega": 4},
        "stop": {"max_steps": 480, "further_steps": 0},
    },
    ("default", "class"): {
        "method": {
            "name": "contrastive",
            "pull_weights": "tilted",
            "temperature": 0.1,
            "lambda_ul": 1.0,
            "lambda_ce": 1.0,
            "detach_retain": True,
        },
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "schedule": "cosine"},
        "batches": {"forget_batch": 64, "retain_batch": 64, "omega": 4},
        "stop": {"max_steps": 48, "check_every": 16, "further_steps": 32},
    },
    ("default", "sample"): {
        "method": {
            "name": "contrastive",
            "terms": "push",
            "temperature": 1.0,
            "lambda_ul": 2.0,
            "lambda_ce": 1.0,
            "detach_retain": True,
        },
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "schedule": "cosine"},
        "batches": {"forget_batch": 64, "retain_batch": 64, "omega": 4},
        "stop": {"max_steps": 240, "check_every": 10, "further_steps": 0},
    },
}
