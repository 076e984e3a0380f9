"""Ports of a Ray that the program starts."""

from __future__ import annotations

import os
import subprocess
import sys

from pipelines.cli.entry import keep_to_this_machine

LISTENING = """
import psutil, ray
from pipelines.cluster.start import start_ray

start_ray("local")
ray.get(ray.remote(lambda: 1).remote())
mine = [psutil.Process(), *psutil.Process().children(recursive=True)]
for process in mine:
    for found in process.net_connections("tcp"):
        if found.status == "LISTEN":
            print(found.laddr.ip, found.laddr.port, process.name())
ray.shutdown()
"""
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def test_a_ray_of_our_own_listens_on_this_machine_only() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    keep_to_this_machine(environment)
    done = subprocess.run(
        [sys.executable, "-c", LISTENING], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    listening = [line for line in done.stdout.splitlines() if line.strip()]
    assert len(listening) > 3, done.stdout
    assert [line for line in listening if line.split()[0] not in LOOPBACK] == []
