"""Faults of a cluster, one at a time, in the middle of a run: it ends as if nothing had happened.

SOAK_TIMES=5 repeats each fault.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import psutil
import pytest
import torch
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

from tests.soak.cluster import PROGRAMS, Cluster
from tests.soak.test_jobs import CONFIG

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]
STEPS, EVERY = 240, 60
LONG = (
    "train.epochs=2",
    "workers.count=2",
    "workers.placement=SPREAD",
    f"workers.checkpoint_every={EVERY}",
    "batches={forget_batch: 16, retain_batch: 16}",
    f"stop={{max_steps: {STEPS}, check_every: 120, further_steps: {STEPS}, utility_points: 100}}",
    "audit={oracles: 0, audits: [accuracy, membership]}",
)


def start(cluster: Cluster, name: str, *more: str) -> subprocess.Popen[str]:
    words = [f"name={name}", f"tracking.uri={cluster.mlflow}", *LONG, *more]
    job = [] if "--resume" in more else ["--name", name]
    where = ["--address", f"http://{cluster.head}:8265", "--root", "s3://unlearning", *job]
    return cluster.start(1, str(PROGRAMS / "cu"), "submit", *where, "--", "unlearn", CONFIG, *words, log=f"{name}.log")


def weights_of(cluster: Cluster, name: str) -> dict[str, torch.Tensor]:
    here = cluster.folder / f"{name}.safetensors"
    address = f"s3://unlearning/outputs/runs/{name}/unlearned/model.safetensors"
    assert cluster.python(f"from pyarrow import fs; fs.copy_files('{address}', '{here}')") == 0
    return load_file(here)


@pytest.fixture(scope="module")
def quiet(cluster: Cluster, packed: None) -> dict[str, torch.Tensor]:
    assert start(cluster, "quiet").wait() == 0, (cluster.folder / "quiet.log").read_text()[-3000:]
    return weights_of(cluster, "quiet")


def find(cluster: Cluster, host: int, *titles: str, but: Sequence[str] = ()) -> list[psutil.Process]:
    """Processes of a machine with one of ``titles`` in their command line, and none of ``but``."""
    found = []
    for pid in cluster.hosts.processes(host):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join((process := psutil.Process(pid)).cmdline())
            if any(title in line for title in titles) and not any(title in line for title in but):
                found.append(process)
    return found


def workers(cluster: Cluster) -> list[tuple[int, psutil.Process]]:
    return [(h, p) for h in range(1, cluster.hosts.count + 1) for p in find(cluster, h, "ray::RayTrainWorker")]


def outside(cluster: Cluster) -> int:
    """A machine with a worker; not the head, which holds the driver."""
    return next(host for host, _ in workers(cluster) if host > 1)


def send(number: int, processes: list[psutil.Process]) -> None:
    assert processes, "there is nothing to send the signal to"
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended with its parent
            process.send_signal(number)


def kill_a_worker(cluster: Cluster, name: str) -> None:
    workers(cluster)[0][1].kill()


def kill_a_machine(cluster: Cluster, name: str) -> None:
    host = outside(cluster)
    cluster.hosts.kill(host)
    cluster.join(host)


def take_a_machine_away(cluster: Cluster, name: str) -> None:
    """With notice, as a cloud does: a checkpoint is taken in between."""
    host = outside(cluster)
    nodes = (
        f"import ray, subprocess; ray.init(address='{cluster.head}:6379', logging_level='ERROR'); "
        f"(node,) = [n['NodeID'] for n in ray.nodes() if n['NodeManagerAddress'] == '{cluster.hosts.address(host)}' "
        f"and n['Alive']]; subprocess.run(['ray', 'drain-node', '--address', '{cluster.head}:6379', '--node-id', node, "
        f"'--reason', 'DRAIN_NODE_REASON_PREEMPTION', '--reason-message', 'test', '--deadline-remaining-seconds', '30'"
        f"], check=True)"
    )
    assert cluster.python(nodes) == 0, (cluster.folder / "python.log").read_text()[-2000:]
    until = time.monotonic() + 28
    while all(step % EVERY == 0 for step in saved_steps(cluster, name)):
        assert time.monotonic() < until, "no checkpoint was taken upon the notice"
        time.sleep(1)
    cluster.hosts.kill(host)
    cluster.join(host)


def kill_mlflow(cluster: Cluster, name: str) -> None:
    send(signal.SIGKILL, find(cluster, 1, "mlflow server", "mlflow.server"))
    time.sleep(10)
    cluster.serve_mlflow()


def cut_off_for_a_while(cluster: Cluster, name: str) -> None:
    host = outside(cluster)
    cluster.hosts.link(host, up=False)
    time.sleep(12)
    cluster.hosts.link(host, up=True)


def cut_off_for_good(cluster: Cluster, name: str) -> None:
    """The machine comes back after the run, as a new one."""
    host = outside(cluster)
    cluster.hosts.link(host, up=False)


def slow_store(cluster: Cluster, name: str) -> None:
    cluster.slowness.write_text("0.3")
    time.sleep(30)
    cluster.slowness.unlink()


def corrupt_the_latest_checkpoint(cluster: Cluster, name: str) -> None:
    """And kill a worker, so that it is read."""
    latest = checkpoints(cluster, name)[-1]
    code = (
        "from pyarrow import fs; s3 = fs.FileSystem.from_uri('s3://unlearning')[0]; "
        f"out = s3.open_output_stream('{latest}/model.safetensors'); out.write(b'broken'); out.close()"
    )
    assert cluster.python(code) == 0
    kill_a_worker(cluster, name)


def kill_the_driver(cluster: Cluster, name: str) -> None:
    send(signal.SIGKILL, find(cluster, 1, "pipelines.cli.entry unlearn"))


def kill_the_supervisor(cluster: Cluster, name: str) -> None:
    send(signal.SIGKILL, find(cluster, 1, "ray::JobSupervisor"))


def notice(cluster: Cluster, name: str) -> None:
    """SIGTERM, and 30 s later SIGKILL to what is left."""
    status, printed = cluster.cu("stop", name, "--address", f"http://{cluster.head}:8265")
    assert status == 0, printed


def full_disk(cluster: Cluster, name: str) -> None:
    for host in range(1, cluster.hosts.count + 1):
        cluster.hosts.fill(host)


Fault = Callable[[Cluster, str], None]
SURVIVED: list[Fault] = [
    kill_a_worker, kill_a_machine, take_a_machine_away, kill_mlflow, cut_off_for_a_while, cut_off_for_good, slow_store,
    corrupt_the_latest_checkpoint,
]  # fmt: skip
RESTARTED: list[Fault] = [kill_a_worker, kill_a_machine, take_a_machine_away, cut_off_for_good]
"""After which workers go on from a checkpoint."""
RESUMED: list[Fault] = [kill_the_driver, kill_the_supervisor, notice, full_disk]
TIMES = range(int(os.environ.get("SOAK_TIMES", "1")))


def checkpoints(cluster: Cluster, name: str) -> list[str]:
    """Paths in the store of the run's checkpoints, oldest first."""
    out = cluster.folder / f"{name}.checkpoints"
    code = (
        f"from pyarrow import fs; s3 = fs.FileSystem.from_uri('s3://unlearning')[0]; "
        f"found = s3.get_file_info(fs.FileSelector('unlearning/outputs/runs/{name}/ray', allow_not_found=True)); "
        f"open('{out}', 'w').write('\\n'.join(sorted(f.path for f in found if f.base_name.startswith('checkpoint_2'))))"
    )
    assert cluster.python(code) == 0
    return out.read_text().split()


def saved_steps(cluster: Cluster, name: str) -> list[int]:
    """Of the checkpoints that are there."""
    out = cluster.folder / f"{name}.steps"
    code = (
        f"import json; from pyarrow import fs; s3 = fs.FileSystem.from_uri('s3://unlearning')[0]; "
        f"places = [p + '/meta.json' for p in {checkpoints(cluster, name)}]; "
        f"metas = [json.loads(s3.open_input_stream(p).read()) for p in places if s3.get_file_info(p).is_file]; "
        f"open('{out}', 'w').write(' '.join(str(m['step']) for m in metas))"
    )
    assert cluster.python(code) == 0, (cluster.folder / "python.log").read_text()[-2000:]
    return [int(step) for step in out.read_text().split()]


def started(cluster: Cluster, name: str, *more: str) -> subprocess.Popen[str]:
    """A run that has a checkpoint and goes on."""
    job = start(cluster, name, *more)
    while not checkpoints(cluster, name):
        assert job.poll() is None, printed(cluster, name)
        time.sleep(1)
    time.sleep(2)  # it is in the store; what starts workers again hears of it a little later
    assert workers(cluster), "all steps were taken before the fault"
    return job


def printed(cluster: Cluster, name: str) -> str:
    return (cluster.folder / f"{name}.log").read_text()


def recover(cluster: Cluster, fault: Fault) -> None:
    """What its owner does after the run."""
    for host in range(1, cluster.hosts.count + 1):
        if fault is full_disk:
            cluster.hosts.make_room(host)
        if host in cluster.hosts.cut_off:  # what is left on it has been given up by the others
            cluster.hosts.kill(host)
            cluster.hosts.link(host, up=True)
            cluster.join(host)


OF_RAY = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::_AutoscalingCoordinatorActor")
"""What Ray keeps on a machine, and one actor of a cluster, when no job runs."""


def at_work(cluster: Cluster) -> list[psutil.Process]:
    """On all machines: drivers, and whatever Ray runs for a job."""
    hosts = range(1, cluster.hosts.count + 1)
    return [p for host in hosts for p in find(cluster, host, "pipelines.cli.entry", "ray::", but=OF_RAY)]


def check(cluster: Cluster, name: str, quiet: dict[str, torch.Tensor], apart: float = 0) -> None:
    """The end state: weights of the quiet run (at most ``apart`` from them), one MLflow run, every point once, nothing
    of the job at work, nothing half-written in the store taken for whole."""
    for key, value in weights_of(cluster, name).items():
        assert (value.double() - quiet[key].double()).abs().max() <= apart, key
    for folder in ("models", f"runs/{name}"):
        words = [sys.executable, "-m", "tests.soak.whole", f"unlearning/outputs/{folder}"]
        assert cluster.start(1, *words, log="whole.log").wait() == 0, (cluster.folder / "whole.log").read_text()
    client = MlflowClient(f"sqlite:///{cluster.folder}/m.db")
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    assert run.info.status == "FINISHED"
    for curve in ("step/loss", "step/workers"):
        assert [m.step for m in client.get_metric_history(run.info.run_id, curve)] == list(range(1, STEPS + 1)), curve
    until = time.monotonic() + 60
    while left := at_work(cluster):
        assert time.monotonic() < until, left
        time.sleep(1)


@pytest.mark.parametrize("fault", SURVIVED)
@pytest.mark.parametrize("number", TIMES)
def test_a_run_survives(cluster: Cluster, quiet: dict[str, torch.Tensor], fault: Fault, number: int) -> None:
    name = f"{fault.__name__}_{number}"
    job = started(cluster, name)
    fault(cluster, name)
    try:
        assert job.wait() == 0, printed(cluster, name)
    finally:
        recover(cluster, fault)
    check(cluster, name, quiet)
    if fault in RESTARTED:
        assert "goes on after step" in printed(cluster, name)
    if fault is corrupt_the_latest_checkpoint:
        assert "The checkpoint before is used." in printed(cluster, name)


@pytest.mark.parametrize("fault", RESUMED)
@pytest.mark.parametrize("number", TIMES)
def test_a_run_is_resumed(cluster: Cluster, quiet: dict[str, torch.Tensor], fault: Fault, number: int) -> None:
    name = f"{fault.__name__}_{number}"
    job = started(cluster, name)
    fault(cluster, name)
    try:
        assert job.wait() != 0
    finally:
        recover(cluster, fault)
    if fault is notice:
        assert "a checkpoint was taken" in printed(cluster, name)
    if fault is full_disk:
        assert "No space left on device" in printed(cluster, name)
    assert start(cluster, name, "--resume", name).wait() == 0, printed(cluster, name)
    if fault is notice:  # from the checkpoint that was asked for, not from one that was due
        steps = re.findall(r"goes on after step (\d+)", printed(cluster, name))
        assert steps, printed(cluster, name)
        assert int(steps[-1]) % EVERY, steps
    check(cluster, name, quiet)


@pytest.mark.parametrize("number", TIMES)
def test_an_elastic_run_goes_on_with_fewer(cluster: Cluster, packed: None, number: int) -> None:
    """Three workers on three machines, one of which is lost for good: the weights are those of a quiet run of three."""
    elastic = ("workers.precision=float64", "workers.count=3", "workers.min_count=2", "workers.cpus=1.5")
    if number == 0:
        assert start(cluster, "elastic_quiet", *elastic).wait() == 0, printed(cluster, "elastic_quiet")
    name = f"elastic_{number}"
    job = started(cluster, name, *elastic)
    cluster.hosts.kill(3)
    try:
        assert job.wait() == 0, printed(cluster, name)
    finally:
        cluster.join(3)
    check(cluster, name, weights_of(cluster, "elastic_quiet"), apart=1e-8)
    client = MlflowClient(f"sqlite:///{cluster.folder}/m.db")
    (run,) = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], f"attributes.run_name = '{name}'"
    )
    counts = [m.value for m in client.get_metric_history(run.info.run_id, "step/workers")]
    assert (counts[0], counts[-1]) == (3, 2)
