"""A Ray cluster of three machines with an object store and an MLflow server on its head."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.soak.hosts import Hosts
from tests.soak.s3_server import LINK, PORTS, credentials

PROGRAMS = Path(sys.executable).parent


@dataclass
class Cluster:
    """Its head is machine 1, where the object store and MLflow run too."""

    hosts: Hosts
    folder: Path

    @property
    def head(self) -> str:
        return self.hosts.address(1)

    @property
    def environment(self) -> dict[str, str]:
        return (
            credentials(self.head)
            | {"PATH": f"{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin", "OMP_NUM_THREADS": "1"}
            | {"RAY_JOB_STOP_WAIT_TIME_S": "30"}
        )

    @property
    def mlflow(self) -> str:
        return f"http://{self.head}:5000"

    def start(self, host: int, *words: str, log: str) -> subprocess.Popen[str]:
        return self.hosts.start(host, words, self.folder / log, **self.environment)

    def cu(self, *words: str, log: str = "cu.log") -> tuple[int, str]:
        """Exit status and what was printed of a command on the head."""
        before = (self.folder / log).stat().st_size if (self.folder / log).is_file() else 0
        status = self.start(1, str(PROGRAMS / "cu"), *words, log=log).wait()
        return status, (self.folder / log).read_bytes()[before:].decode()

    def submit(self, *words: str, root: str = "s3://unlearning") -> tuple[int, str]:
        return self.cu("submit", "--address", f"http://{self.head}:8265", "--root", root, "--", *words)

    def python(self, code: str) -> int:
        return self.start(1, sys.executable, "-c", code, log="python.log").wait()

    def wait(self, code: str) -> None:
        """Until the code leaves without an error on the head."""
        deadline = time.monotonic() + 90
        while self.python(code):
            assert time.monotonic() < deadline, (self.folder / "python.log").read_text()[-2000:]
            time.sleep(1)

    @property
    def slowness(self) -> Path:
        """Seconds that every piece sent to or from the object store waits; absent: none."""
        return self.folder / "slowness"

    def serve_link(self) -> None:
        link = str(Path(__file__).with_name("slow_link.py"))
        self.start(1, sys.executable, link, str(LINK), str(PORTS["proxy"]), str(self.slowness), log="link.log")

    def serve_mlflow(self) -> None:
        server = ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", "--allowed-hosts", "*"]
        stores = f"--backend-store-uri=sqlite:///{self.folder}/m.db", f"--artifacts-destination={self.folder}/artifacts"
        self.start(1, *server, *stores, log="mlflow.log")

    def join(self, host: int) -> subprocess.Popen[str]:
        """Start a machine's raylet."""
        where = ["--head", "--port=6379", "--dashboard-host=0.0.0.0"] if host == 1 else [f"--address={self.head}:6379"]
        words = ["ray", "start", *where, f"--node-ip-address={self.hosts.address(host)}", "--num-cpus=2", "--block"]
        return self.start(
            host, *words, "--object-store-memory=100000000", "--disable-usage-stats", log=f"ray{host}.log"
        )


def reachable(url: str) -> str:
    return f"import urllib.request; urllib.request.urlopen({url!r}, timeout=2)"
