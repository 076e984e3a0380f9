from __future__ import annotations

import math

import pytest

from cu_core.audit.table import METRICS
from cu_core.types import MetricResult


def test_points_are_percent() -> None:
    assert METRICS["mia_auc"].points(MetricResult(0.5, 10)) == 50
    assert METRICS["forget_accuracy"].points(MetricResult(70.0, 10)) == 70
    assert METRICS["forget_js"].points(MetricResult(math.log(2), 10)) == pytest.approx(100)
