"""The comment on METHOD_LR says of every rate what the search behind it said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cu_core import presets
from cu_core.types import RequestKind

TRIED: dict[RequestKind, dict[str, tuple[float, ...]]] = {
    "class": {
        "finetune": (0.1, 0.03, 0.01),
        "retrain": (0.1, 0.05, 0.02),
        "gradient_ascent": (0.0001, 0.0003, 0.001),
        "neggrad_plus": (0.01, 0.03, 0.1),
        "random_label": (0.01, 0.003, 0.03),
        "salun": (0.01, 0.003, 0.03),
        "scrub": (0.001, 0.003, 0.0003),
        "bad_teacher": (0.003, 0.01, 0.03),
        "boundary_shrink": (0.003, 0.001, 0.0003),
        "boundary_expanding": (0.0003, 0.001, 0.003),
        "unsir": (0.03, 0.1, 0.3),
        "fanchuan": (0.03, 0.1, 0.01),
    },
    "sample": {
        "finetune": (0.1, 0.03, 0.01),
        "gradient_ascent": (0.001, 0.0003, 0.0001),
        "neggrad_plus": (0.1, 0.03, 0.01),
        "random_label": (0.0001, 0.0003, 0.001),
        "salun": (0.0001, 0.0003, 0.001),
        "scrub": (0.003, 0.001, 0.01),
        "bad_teacher": (0.0003, 0.003, 0.001),
        "boundary_shrink": (0.0001, 3e-05, 0.0003),
        "fanchuan": (0.03, 0.01, 0.003),
    },
}
"""Rates of the former three-value searches on Fashion-MNIST, best first."""


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_rates_that_no_search_found_are_marked(kind: RequestKind) -> None:
    source = Path(presets.__file__).read_text()
    part = source[source.index(f'    "{kind}": {{') :]
    for name, rate in presets.METHOD_LR[kind].items():
        comment = re.search(rf'"{name}": [\d.e-]+,(?:  # (.*))?', part)
        assert comment is not None
        said, tried = comment[1] or "", TRIED[kind].get(name, ())
        if not tried or tried[0] != rate:
            assert said.startswith("not found"), name
        else:
            assert said == ("edge" if rate in (min(tried), max(tried)) else ""), name
