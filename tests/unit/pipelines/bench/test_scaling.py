"""How many workers `cu bench scaling` advises, and what it says of more."""

from __future__ import annotations

from pipelines.bench.scaling import Scale, advice


def scale(workers: int, rate: float, communicating: float = 0.0, workers_per_cpu: float = 1.0) -> Scale:
    return Scale(workers, rate, 0.5, communicating, 1e6, 2**20, 1, workers_per_cpu)


def test_the_fewest_that_come_near_the_highest_rate() -> None:
    lines = advice([scale(1, 100), scale(2, 190, 0.05), scale(4, 200, 0.4), scale(8, 150, 0.7, 4)])
    assert lines[0] == "Advice: workers.count=2."
    assert (
        lines[1] == "4 workers are no more than 5% faster (1.05 times the rows): 40% of a step waits for other workers."
    )
    assert lines[2].startswith("8 workers are slower (0.79 times the rows): 70% of a step waits")
    assert lines[2].endswith("4 workers share a CPU, so that nothing is shown of real ones.")


def test_nothing_is_said_against_more_where_more_pay() -> None:
    assert advice([scale(1, 100), scale(2, 190)]) == ["Advice: workers.count=2."]


def test_one_where_two_are_slower() -> None:
    assert advice([scale(1, 100), scale(2, 60, 0.5)])[0] == "Advice: workers.count=1."
