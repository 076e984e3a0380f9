"""Names of the figures that an audit may have."""

from __future__ import annotations

import contextlib
import difflib

from cu_core.audit.proxy import FORGETTING
from cu_core.audit.table import METRICS

WHOLE = ("oracle_gap", "leaks", "proxy", "proxy/utility", *(f"proxy/{part}" for part in FORGETTING))
"""Figures that are of no metric."""
OF_METRICS = ("audit/original/", "audit/oracle/", "audit/", "gap/")
"""What precedes the name of a metric in that of a figure."""


def is_figure(name: str) -> bool:
    """Whether a policy may name it."""
    if name in WHOLE:
        return True
    for before in OF_METRICS:
        if name.startswith(before):
            with contextlib.suppress(KeyError):  # not `in`: parts such as test_accuracy/5 are made when asked for
                return bool(METRICS[name.removeprefix(before)])
    return False


def hint(name: str) -> str:
    """What may have been meant."""
    figures = [*WHOLE, *(f"{before}{metric}" for before in OF_METRICS for metric in METRICS)]
    near = difflib.get_close_matches(name, figures, 1)
    return f"did you mean {near[0]}" if near else "e.g. oracle_gap, proxy, audit/test_accuracy, gap/mia_auc"
