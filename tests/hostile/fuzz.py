"""``python -m tests.hostile.fuzz TARGET --seconds N --seed S``: mutated inputs until the time is over."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from tests.hostile import fuzz_images, fuzz_shards

Target = Callable[[float, int], list[str]]
"""Seconds and seed to the faults found, one line each."""


def _shards(seconds: float, seed: int) -> list[str]:
    try:
        print(f"shards: {fuzz_shards.run(seconds, seed)} inputs")
    except AssertionError as error:
        return [str(error)]
    return []


TARGETS: Mapping[str, Target] = {"images": fuzz_images.fuzz, "shards": _shards}


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
