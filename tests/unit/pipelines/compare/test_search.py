from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipelines.compare.competitors import SearchConfig
from pipelines.compare.search import Search, SearchTrial, draw, search_all, trial_of
from pipelines.grid.cells import Failure

RATE = {"optimizer.lr": {"loguniform": [0.001, 0.1]}}
SPACE = {
    **RATE,
    "method.beta": {"uniform": [0.5, 1.0], "within": [0.0, 1.0]},
    "stop": {"choice": [{"rule": "none"}, {"rule": "paper", "further_steps": 30}]},
}
TUNING = SearchConfig(trials=24, requests=[{"kind": "by_class", "classes": [7]}], seeds=[9])
Asked = Sequence[tuple[str, dict[str, Any]]]


def judged(
    value: Callable[[dict[str, Any]], float], batches: list[int] | None = None
) -> Callable[[Asked], list[SearchTrial]]:
    def evaluate(asked: Asked) -> list[SearchTrial]:
        if batches is not None:
            batches.append(len(asked))
        return [SearchTrial(settings, value(settings), rows=100.0) for _, settings in asked]

    return evaluate


def away_from(rate: float) -> Callable[[dict[str, Any]], float]:
    """Decades between the rate and this one."""
    return lambda settings: abs(math.log10(settings["optimizer.lr"] / rate))


def test_the_same_results_give_the_same_trials_whoever_else_searches() -> None:
    alone = search_all({"a": SPACE}, TUNING, judged(away_from(0.01)))
    both = search_all({"b": RATE, "a": SPACE}, TUNING, judged(away_from(0.01)))
    assert alone["a"] == both["a"]
    assert alone["a"].trials[:10] != search_all({"a": SPACE}, TUNING, judged(away_from(0.05)))["a"].trials[:10]


def test_trials_come_in_batches_of_a_fixed_size_for_all_methods_at_once() -> None:
    batches: list[int] = []
    search_all({"a": RATE, "b": SPACE}, TUNING, judged(away_from(0.01), batches))
    assert batches == [8] * 6  # four of each method, 24 trials


def test_tpe_draws_nearer_to_the_optimum_than_its_random_start() -> None:
    found = search_all({"a": SPACE}, TUNING, judged(lambda s: away_from(0.01)(s) + abs(s["method.beta"] - 0.9)))["a"]
    late, start = [t.value for t in found.trials[12:]], [t.value for t in found.trials[:10]]
    assert sum(late) / len(late) < 0.7 * sum(start) / len(start)
    assert found.widenings == ()
    assert len(found.trials) == 24


def test_a_best_value_at_the_edge_widens_the_range_until_it_lies_inside() -> None:
    found = search_all({"a": RATE}, TUNING, judged(away_from(1.0)))["a"]
    assert found.start["optimizer.lr"]["loguniform"] == [0.001, 0.1]
    assert found.space["optimizer.lr"]["loguniform"][1] > 1.0
    assert found.best.settings["optimizer.lr"] > 0.3
    assert len(found.trials) == 24 + 8 * len(found.widenings)
    assert found.edges == {}


def test_widening_ends_after_the_stated_number_and_what_is_left_is_told() -> None:
    found = search_all({"a": RATE}, TUNING, judged(lambda s: -s["optimizer.lr"]))["a"]
    assert len(found.widenings) <= TUNING.widenings
    assert len(found.trials) <= 24 + 3 * 8
    never = SearchConfig(trials=24, requests=TUNING.requests, widenings=0)
    assert len(search_all({"a": RATE}, never, judged(lambda s: -s["optimizer.lr"]))["a"].trials) == 24
    at_edge = Search(RATE, RATE, (SearchTrial({"optimizer.lr": 0.099}, 1.0), SearchTrial({"optimizer.lr": 0.01}, 2.0)))
    assert at_edge.edges == {"optimizer.lr": "high"}


def test_a_natural_limit_is_not_widened() -> None:
    share = {"steps_frac": {"uniform": [0.2, 1.0], "within": [0.1, 1.0]}}
    found = search_all({"a": share}, TUNING, judged(lambda s: -s["steps_frac"]))["a"]
    assert (found.widenings, len(found.trials)) == ((), 24)


def test_trials_that_diverged_lose_and_are_kept_with_their_reason() -> None:
    diverged = trial_of({"optimizer.lr": 1.0}, [Failure("loss is nan")], "gap")
    assert (diverged.value, diverged.failed) == (math.inf, ("loss is nan",))
    told = [
        SearchTrial({"optimizer.lr": rate}, math.inf if rate > 0.01 else rate) for rate in (0.001, 0.002, 0.02, 0.05)
    ] * 3
    drawn = [s["optimizer.lr"] for s in draw(RATE, told, 4, seed=1)]
    assert sum(rate < 0.01 for rate in drawn) >= 3
    nothing = search_all({"a": RATE}, TUNING, judged(lambda s: math.inf))["a"]
    assert len(nothing.trials) == 24  # nowhere to widen to


def test_choices_of_whole_settings_come_back_as_they_are() -> None:
    drawn = draw(SPACE, [], 20, seed=3)
    assert {tuple(s["stop"].items()) for s in drawn} == {tuple(c.items()) for c in SPACE["stop"]["choice"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "at least one trial"),
        ({"widen": 1.0}, "widen more than 1"),
        ({"search": {"optimizer.lr": {"uniform": [0.1, 1.0]}}}, "what all share is steps_frac and when to stop"),
        ({"search": {"stop.max_steps": {"int": [1, 9]}}}, "follows from budget_rows"),
    ],
)
def test_a_tuning_part_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchConfig(**{"trials": 4, "requests": [{}], **changes})
