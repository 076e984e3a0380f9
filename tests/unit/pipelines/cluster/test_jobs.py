from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipelines.cluster import jobs
from pipelines.cluster.jobs import JobOutput


class Cluster:
    """A stream of text, as the client of Ray gives it; no cluster is needed to see what is printed."""

    def __init__(self, *streams: list[str | float]):
        self.streams = list(streams)

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        for piece in self.streams.pop(0):
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                yield piece


def shown(*streams: list[str | float]) -> JobOutput:
    client: Any = Cluster(*streams)
    return JobOutput(client, "job")


def test_a_stream_that_begins_anew_is_not_printed_twice(capsys: pytest.CaptureFixture[str]) -> None:
    output = shown(["one ", "two "], ["one two ", "three"])
    assert asyncio.run(output.show())
    assert asyncio.run(output.show())
    assert capsys.readouterr().out == "one two three"


def test_a_silent_stream_is_given_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(jobs, "SILENCE", 0.05)
    output = shown(["one ", 5.0, "two"])
    assert not asyncio.run(output.show())
    assert capsys.readouterr().out == "one "
