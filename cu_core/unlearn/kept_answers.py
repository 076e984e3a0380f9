"""What a frozen model says of forget rows: computed once for each row, since it never changes."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cu_core.data.order import Rows
from cu_core.models.classifier import Forward, ImageSets
from cu_core.types import TEXTS, Outputs

MOST_BYTES = 2**29
"""Most memory for the answers of one model; of a request with more, every answer is computed when it is needed."""
ROW_WISE = ("embedding", "hidden", "logits")


class KeptAnswers:
    """A frozen model in evaluation mode that forwards each row of the set ``forget`` once.

    The rows of a batch are forwarded together if one of them is new, so that a batch which comes again (omega steps use
    one) has the same answers bit for bit. Further sets of a call are forwarded in every call.

    Args:
        forward: The model.
        sample_ids: Ids of all rows whose answers are kept; none if answers change from step to step.
    """

    def __init__(self, forward: Forward, sample_ids: Rows):
        self.forward = forward
        self.ids = np.sort(sample_ids)
        self.known = np.zeros(len(sample_ids), dtype=np.bool_)
        self.kept: dict[str, Tensor] = {}
        self.like: Outputs | None = None

    def of(self, ids: Rows) -> Forward:
        """Return the model for a step whose rows of ``forget`` have these ids, on the host."""
        return functools.partial(self.answer, ids=ids)

    def answer(self, sets: ImageSets, ids: Rows) -> dict[str, Outputs]:
        """Return what ``forward(sets)`` returns.

        Args:
            sets: Images by set.
            ids: Ids of the rows of ``forget``, on the host.

        Returns:
            Outputs by set.
        """
        if "forget" not in sets or not len(ids) or not len(self.ids):
            return self.forward(sets)
        places = np.searchsorted(self.ids, ids)
        index = torch.from_numpy(places).to(sets["forget"].device, non_blocking=True)
        others = {name: rows for name, rows in sets.items() if name != "forget"}
        if self.known[places].all() and not (others and all(name.endswith(TEXTS) for name in others)):
            assert self.like is not None
            known = replace(self.like, **{name: values[index] for name, values in self.kept.items()})
            return (self.forward(others) if others else {}) | {"forget": known}
        found = self.forward(sets)
        if self._keep(found["forget"], index):
            self.known[places] = True
        return found

    def _keep(self, out: Outputs, index: Tensor) -> bool:
        """Keep the answers of some rows, if those of all rows fit into ``MOST_BYTES``; return whether they do."""
        values: dict[str, Tensor] = {name: getattr(out, name) for name in ROW_WISE}
        if len(self.ids) * sum(value[:1].nbytes for value in values.values()) > MOST_BYTES:
            return False
        self.like = self.like or out
        for name, value in values.items():
            if name not in self.kept:
                self.kept[name] = value.new_zeros((len(self.ids), *value.shape[1:]))
            self.kept[name][index] = value
        return True
