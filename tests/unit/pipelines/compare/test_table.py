from __future__ import annotations

import pandas as pd

from pipelines.compare.table import _marks, _order, _warnings


def frame(**gaps: list[float]) -> pd.DataFrame:
    """A gap for each method and seed; methods have one letter, controls a name (``_`` for spaces)."""
    rows = [
        {
            "method": method.replace("_", " "),
            "control": len(method) > 1,
            "request": 0,
            "seed": seed,
            "gap": gap,
            "verdict": "over-forgotten",
        }
        for method, values in gaps.items()
        for seed, gap in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_best_and_ties_are_paired_over_seeds() -> None:
    part = frame(
        doing_nothing=[0.0, 0.0, 0.0],  # a control, never marked
        a=[1.0, 2.0, 3.0],  # best: mean 2
        b=[1.5, 2.5, 3.5],  # worse by 0.5 on every seed: no spread in the difference, so no tie
        c=[3.0, 2.0, 2.0],  # worse by 2, 0, -1: mean 0.33, deviation 1.5
        d=[9.0, 8.0, 7.0],
    )
    assert _marks(part, "gap") == {"a": "best", "c": "tie"}


def test_a_method_with_an_under_forgotten_run_is_never_best() -> None:
    part = frame(a=[0.1, 0.2], b=[1.0, 2.0], c=[5.0, 5.0])
    part.loc[0, "verdict"] = "under-forgotten"  # one run of a
    assert _marks(part, "gap") == {"b": "best"}
    assert _marks(part.assign(verdict="under-forgotten"), "gap") == {}


def test_distances_count_on_both_sides_and_diverged_methods_are_left_out() -> None:
    part = frame(a=[-5.0, 5.0], b=[2.0, 2.0], c=[0.0, float("nan")])
    assert _marks(part, "gap") == {"b": "best"}


def test_a_case_that_doing_nothing_meets_is_warned_of() -> None:
    assert "cannot be ranked" in _warnings(frame(doing_nothing=[2.0, 1.0, 3.0], oracle=[1.0, 2.0, 2.0]))[0]
    assert _warnings(frame(doing_nothing=[9.0, 8.0, 9.5], oracle=[1.0, 2.0, 2.0])) == []
    assert "One seed" in _warnings(frame(doing_nothing=[9.0], oracle=[float("nan")]))[0]
    # The spread is that of the seeds: a request that is far and one that is near are no spread.
    near, far = frame(doing_nothing=[4.0, 4.1], oracle=[1.0, 1.0]), frame(doing_nothing=[60.0, 60.1], oracle=[1.0, 1.0])
    assert _warnings(pd.concat([near, far.assign(request=1)])) == []


def test_methods_that_diverged_anywhere_stand_last() -> None:
    part = frame(doing_nothing=[9.0, 9.0], oracle=[1.0, 1.0], a=[1.0, float("nan")], b=[2.0, 2.0], c=[float("nan")] * 2)
    assert _order(part) == ["doing nothing", "oracle", "b", "a", "c"]
    masked = frame(doing_nothing=[9.0], oracle=[1.0], logit_mask=[0.1], a=[0.2], b=[0.5])
    assert _order(masked) == ["doing nothing", "oracle", "logit mask", "a", "b"]
    assert _marks(masked, "gap") == {"a": "best"}  # masking the answers is no unlearning
