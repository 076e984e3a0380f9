"""Machines on one machine: network namespaces joined by a bridge, each with its own address, Ray folder and cache.

Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

BRIDGE = "cu-bridge"
CACHE_MB = 256
ENTER = """
mkdir -p /tmp/ray "$2"
mount --bind "$1/ray" /tmp/ray
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/cache" "$2"
shift 2
exec "$@"
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


class Hosts:
    """Context manager; at its end every process of the machines is killed and they are gone."""

    def __init__(self, folder: Path, count: int = 3):
        self.folder, self.count = folder, count
        self.cache = folder / "cache"
        self.cut_off: set[int] = set()

    def address(self, host: int) -> str:
        return f"10.77.0.{host}"

    def __enter__(self) -> Hosts:
        _ip("netns", "add", BRIDGE)
        _ip("-n", BRIDGE, "link", "add", "br0", "type", "bridge")
        _ip("-n", BRIDGE, "link", "set", "br0", "up")
        for host in range(1, self.count + 1):
            name, port, own = f"cu-host{host}", f"port{host}", self.folder / str(host)
            _ip("netns", "add", name)
            _ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", BRIDGE)
            _ip("-n", BRIDGE, "link", "set", port, "master", "br0")
            _ip("-n", BRIDGE, "link", "set", port, "up")
            for device in ("lo", "eth0"):
                _ip("-n", name, "link", "set", device, "up")
            _ip("-n", name, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            for part in ("ray", "cache"):
                (own / part).mkdir(parents=True)
            _mount("-t", "tmpfs", "-o", f"size={CACHE_MB}m", "tmpfs", str(own / "cache"))
            (own / "hosts").write_text(f"127.0.0.1 localhost\n{self.address(host)} {socket.gethostname()}\n")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for host in range(1, self.count + 1):
            self.kill(host)
            subprocess.run(["umount", "--lazy", str(self.folder / str(host) / "cache")], check=False)
            subprocess.run(["ip", "netns", "del", f"cu-host{host}"], check=False)
        subprocess.run(["ip", "netns", "del", BRIDGE], check=False)

    def processes(self, host: int) -> list[int]:
        listed = subprocess.run(["ip", "netns", "pids", f"cu-host{host}"], check=False, capture_output=True, text=True)
        return [int(pid) for pid in listed.stdout.split()]

    def kill(self, host: int) -> None:
        """Power off: nothing is told to anybody."""
        for pid in self.processes(host):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start(self, host: int, words: Sequence[str], log: Path, **environment: str) -> subprocess.Popen[str]:
        """A process of the machine; it and its children are killed with the machine."""
        own = str(self.folder / str(host))
        command = ["ip", "netns", "exec", f"cu-host{host}", "unshare", "-m", "bash", "-ec", ENTER, "enter", own]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "AWS_"))}
        environment = {**kept, "CU_CACHE": str(self.cache), "RAY_AUTH_MODE": "disabled", **environment}
        with log.open("a") as out:
            return subprocess.Popen(
                [*command, str(self.cache), *words], env=environment, stdout=out, stderr=subprocess.STDOUT, text=True
            )

    def link(self, host: int, up: bool) -> None:
        """Cut a machine off, or let it back."""
        (self.cut_off.discard if up else self.cut_off.add)(host)
        _ip("-n", f"cu-host{host}", "link", "set", "eth0", "up" if up else "down")

    def fill(self, host: int) -> None:
        """Leave no room where a machine keeps its copies."""
        with contextlib.suppress(OSError), self._ballast(host).open("wb") as out:
            while True:
                out.write(bytes(2**20))
                out.flush()

    def make_room(self, host: int) -> None:
        self._ballast(host).unlink()

    def _ballast(self, host: int) -> Path:
        return self.folder / str(host) / "cache" / "ballast"
