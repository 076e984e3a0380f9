"""infra/mlflow/serve.sh on a real PostgreSQL: users are asked for, and a killed server loses nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client
from mlflow.tracking import MlflowClient

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
pytestmark = pytest.mark.skipif(
    PROGRAMS is None or os.getuid() != 0, reason="needs PostgreSQL (Debian: apt-get install postgresql) and root"
)
SERVE = Path("infra/mlflow/serve.sh").resolve()
SECRETS = {"MLFLOW_AUTH_ADMIN_PASSWORD": "100%-of-a-test", "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-a-test"}
USER = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"]}
RUNS, STEPS = 8, 60
WRITE = """
import sys, time
from pathlib import Path
from cu_core.types import StepReport
from pipelines.tracking.step_log import CurveWriter, StepLog, deliver, read_steps
folder, uri, run = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
writer = CurveWriter(StepLog(folder), uri, run, flush_seconds=0.2, pause_seconds=0.5)
for step in range(1, STEPS + 1):
    writer(StepReport(step, STEPS, {"loss": 1 / step, "pull": 0.5}))
    print(step, flush=True)
    time.sleep(0.1)
deliver(read_steps(folder), uri, run)
""".replace("STEPS", str(STEPS))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a new database."""
    assert PROGRAMS is not None
    folder = Path(tmp_path_factory.getbasetemp().parent) / f"postgres-{os.getpid()}"
    for part in (folder, *folder.parents[:2]):
        part.mkdir(exist_ok=True)
        part.chmod(part.stat().st_mode | 0o011)  # the server is no root and must pass
    shutil.chown(folder, "postgres", "postgres")
    port = free_port()

    def run(program: str, *words: str) -> None:
        subprocess.run(["runuser", "-u", "postgres", "--", PROGRAMS / program, *words], check=True, cwd=folder,
                       stdout=subprocess.DEVNULL)  # fmt: skip

    run("initdb", "-D", f"{folder}/data", "--auth=trust")
    run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o",
        f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}", "start")  # fmt: skip
    run("createdb", "-h", "127.0.0.1", "-p", str(port), "mlflow")
    yield f"postgresql://postgres@127.0.0.1:{port}/mlflow"
    run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "-t", "300", "stop")
    shutil.rmtree(folder)


@dataclass
class Server:
    database: str
    folder: Path
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        places = {"DATABASE": self.database, "ARTIFACTS": str(self.folder / "artifacts")}
        where = {"HOST": "127.0.0.1", "PORT": str(self.port), "WORKERS": "1", "PATH": path}
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(["bash", SERVE], env={**os.environ, **SECRETS, **places, **where},
                                            stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        deadline = time.monotonic() + 120
        while not self.answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.3)

    def answers(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.uri}/health"):
            return True
        return False

    def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(database, tmp_path_factory.mktemp("mlflow"), free_port())
    server.start()
    yield server
    server.kill()


def test_nobody_is_let_in_without_a_password(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1")
    assert refused.value.code == 401


def test_jobs_work_under_a_user_who_rules_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in USER.items():
        monkeypatch.setenv(name, value)
    get_app_client("basic-auth", server.uri).create_user("jobs", "a-password-of-jobs")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "jobs")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-password-of-jobs")
    client = MlflowClient(server.uri)
    run = client.create_run(client.create_experiment("of jobs")).info.run_id
    client.log_metric(run, "step/loss", 1.0, step=1)
    (tmp_path / "report.html").write_text("whole")
    client.log_artifact(run, str(tmp_path / "report.html"))
    client.create_registered_model("digits")
    assert [a.path for a in client.list_artifacts(run)] == ["report.html"]
    with pytest.raises(MlflowException, match="(?i)permission"):
        get_app_client("basic-auth", server.uri).create_user("another", "a-password-of-another")


def test_a_server_killed_under_eight_runs_loses_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in USER.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(server.uri)
    experiment = client.create_experiment("eight")
    runs = [client.create_run(experiment).info.run_id for _ in range(RUNS)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path / run), server.uri, run], stdout=subprocess.PIPE)
        for run in runs
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"1\n", "all are writing"
    server.kill()
    assert not server.answers()
    time.sleep(2)
    server.start()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    for run in runs:
        for name in ("step/loss", "step/pull"):
            assert [m.step for m in client.get_metric_history(run, name)] == list(range(1, STEPS + 1))
