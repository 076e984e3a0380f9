"""``python -m tests.hostile.fuzz TARGET --seconds N --seed S``: mutated inputs until the time is over."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from tests.hostile import fuzz_images, fuzz_requests, fuzz_settings, fuzz_shards, fuzz_weights

Target = Callable[[float, int], list[str]]
"""Seconds and seed to the faults found, one line each."""


def _until_a_fault(name: str, run: Callable[[float, int], int]) -> Target:
    def target(seconds: float, seed: int) -> list[str]:
        try:
            print(f"{name}: {run(seconds, seed)} inputs")
        except AssertionError as error:
            return [str(error)]
        return []

    return target


ONE_BY_ONE: Mapping[str, Callable[[float, int], int]] = {
    "shards": fuzz_shards.run,
    "settings": fuzz_settings.run,
    "requests": fuzz_requests.run,
    "weights": fuzz_weights.run,
}
TARGETS: Mapping[str, Target] = {
    "images": fuzz_images.fuzz,
    **{name: _until_a_fault(name, run) for name, run in ONE_BY_ONE.items()},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; none: all, one by one")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; targets: {', '.join(TARGETS)}")
    faults = [
        f"{name}: {fault}" for name in given.targets or TARGETS for fault in TARGETS[name](given.seconds, given.seed)
    ]
    print("\n".join(faults) or "no faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
