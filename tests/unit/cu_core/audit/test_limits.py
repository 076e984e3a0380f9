from __future__ import annotations

from cu_core.audit.limits import Limits


def test_the_detection_limit_is_the_smallest_amount_from_which_on_all_are_told() -> None:
    def detected(**told: int) -> float | None:
        return Limits(5, 0.05, (0, 9), {float(k[1:]): (v, 10) for k, v in told.items()}, {}, {}).detected

    assert detected(p1=0, p10=8, p25=10) == 10
    assert detected(p1=9, p10=7, p25=10) == 25
    assert detected(p1=9, p10=10, p25=7) is None
