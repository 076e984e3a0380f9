"""Where the time of a step goes."""

from __future__ import annotations

import torch

from cu_core.traffic import TRAFFIC, Mark, between, mark


class StepClock:
    """Laps of one step on this rank; time in collectives is subtracted from the lap that contains it."""

    def __init__(self, device: torch.device):
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Start a step."""
        TRAFFIC.clear()
        self.laps: list[tuple[str, Mark, int]] = [("", mark(self.device), 0)]

    def lap(self, part: str) -> None:
        """Assign the time since the last call to ``part``."""
        now = mark(self.device)
        if part == "backward" and TRAFFIC.last_bucket is not None:
            TRAFFIC.waits.append((TRAFFIC.last_bucket, now))
        self.laps.append((part, now, len(TRAFFIC.waits)))

    def read(self, rows: float) -> dict[str, float]:
        """Return the seconds of each part, the bytes handed to collectives, and rows per second.

        Args:
            rows: Rows of the step over all ranks.

        Returns:
            Name -> value.
        """
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        waits = [between(*wait) for wait in TRAFFIC.waits]
        seconds: dict[str, float] = {}
        for (_, began, first), (part, ended, last) in zip(self.laps, self.laps[1:], strict=False):
            waited = sum(waits[first:last])
            seconds[part] = seconds.get(part, 0.0) + between(began, ended) - waited
            seconds["communication"] = seconds.get("communication", 0.0) + waited
        whole = sum(seconds.values())
        found = {f"{part}_seconds": value for part, value in seconds.items()}
        found |= {"rows_per_second": rows / whole, "communicated_bytes": float(TRAFFIC.bytes)}
        if self.device.type == "cuda":
            found["gpu_memory_bytes"] = float(torch.cuda.max_memory_allocated(self.device))
        return found
