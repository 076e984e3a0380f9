"""``cu submit``, ``cu jobs``, ``cu stop``: run commands on a cluster."""

from __future__ import annotations

import datetime
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cu_core.errors import ConfigError
from pipelines.console import console

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    from pipelines.cluster.address import ClusterConfig
    from pipelines.cluster.sent import Sent

FAILURES = 60
"""Failed requests in a row, half a second apart, after which `cu` stops waiting for the cluster."""
INTERRUPTED = 130
"""Exit status of typer after Ctrl-C."""
SENT = (
    "unlearn",
    "train",
    "audit",
    "audit-strong",
    "compare",
    "sweep",
    "calibrate",
    "repeat",
    "score",
    "bench",
    "requests",
)
Address = Annotated[str | None, typer.Option(help="Dashboard of the cluster, e.g. http://127.0.0.1:8265.")]
TokenFile = Annotated[Path | None, typer.Option(help="File with the cluster's token.")]
Cluster = Annotated[
    Path | None, typer.Option(help="File with address, token_file, root, python, runtime_env. Default: cluster.yaml.")
]


def _check(words: list[str], root: str | None, command: Any) -> None:
    """Check the words after ``cu``, whose ``command`` it is, before anything is sent.

    Raises: ConfigError; click's own error for options that the command does not have.
    """
    if not words or words[0] not in SENT:
        raise ConfigError(f"after -- comes the command to run there: {', '.join(SENT)}; got {' '.join(words[:1])!r}.")
    rest = list(words)
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            raise ConfigError(f"cu {' '.join(words)}: after it comes one of {', '.join(command.commands)}.")
        command = command.commands[rest.pop(0)]
    context = command.make_context("cu " + " ".join(words[: len(words) - len(rest)]), rest, resilient_parsing=False)
    config, overrides = context.params.get("config"), list(context.params.get("overrides") or [])
    if words[0] in ("compare", "sweep", "audit", "repeat") or config is None:
        if config is not None and not Path(config).is_file():
            raise ConfigError(f"no configuration file {config}.")
        places = [""]
    else:
        from cu_core.config_io import load_config

        settings = load_config(Path(config), overrides)
        places = [settings.data.path, settings.storage]
    if root is None and not all(place.startswith("/") or "://" in place for place in places):
        raise ConfigError(
            "where are data and outputs on the cluster? give --root: a folder that all its machines share, or an "
            "address such as s3://bucket/folder."
        )


def submit(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARGS]...", help=f"As after `cu`: {', '.join(SENT)}.")
    ],
    address: Address = None,
    token_file: TokenFile = None,
    root: Annotated[
        str | None,
        typer.Option(help="Shared folder of the machines, or s3://...; relative data.path and storage are in it."),
    ] = None,
    python: Annotated[str | None, typer.Option(help="Python of the cluster's machines. Default: python.")] = None,
    name: Annotated[str | None, typer.Option(help="Id of the job. Default: Ray creates one.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not wait for the job. `cu jobs ID` shows its output.")
    ] = False,
    cluster: Cluster = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files that would be sent; send nothing.")
    ] = False,
) -> None:
    """Run a command on a Ray cluster. The exit status is that of the job. Ctrl-C leaves the job running.

    E.g. `cu submit --address http://HEAD:8265 --root s3://bucket -- unlearn CONFIG key=value`. The files that git
    tracks in the current folder are sent, and those that the command names. The command starts on the head. Options
    that are not given are read from RAY_API_SERVER_ADDRESS, RAY_AUTH_TOKEN_PATH and CU_ROOT, then from cluster.yaml in
    the current folder.
    """
    from pipelines.cluster.address import read_cluster
    from pipelines.cluster.jobs import check_secrets, connect
    from pipelines.cluster.jobs import submit as send
    from pipelines.cluster.sent import check_owner, what_is_sent

    settings = read_cluster(cluster, address=address, token_file=token_file, root=root, python=python)
    check_secrets(settings, words)
    _check(words, settings.root, context.find_root().command)
    check_owner(words)
    sent = what_is_sent(words)
    if dry_run:
        _list(sent)
        return
    client = connect(settings)
    job = send(client, settings, words, name, sent)
    flags = _given(address=address, **{"token-file": token_file}, cluster=cluster)
    console.print(f"job {job}: cu {shlex.join(words)}", highlight=False, soft_wrap=True)
    if detach:
        _tell(job, flags)
        return
    raise typer.Exit(_wait(client, job, flags))


def _list(sent: Sent) -> None:
    for path in sent.files:
        print(path)
    for path, why in sent.left.items():
        console.print(f"not sent: {path} ({why})", soft_wrap=True, highlight=False, markup=False)
    console.print(f"{len(sent.files)} files, {sent.size / 1e6:.1f} MB; nothing was sent", highlight=False)


def _given(**flags: object) -> str:
    """Return the flags that another command for the same cluster needs."""
    return shlex.join(word for name, value in flags.items() if value for word in (f"--{name}", str(value)))


def _tell(job: str, flags: str) -> None:
    for what, command in (("what it prints", "jobs"), ("end it", "stop")):
        console.print(f"{what}: cu {command} {job} {flags}", highlight=False, soft_wrap=True)


def _wait(client: JobSubmissionClient, job: str, flags: str) -> int:
    """Print the output of the job until it ends, and return its exit status."""
    import asyncio

    import aiohttp

    from pipelines.cluster.jobs import ENDED, JobOutput, job_info

    output = JobOutput(client, job)
    try:
        ended, failures = False, 0
        while not ended:  # a broken or long silent stream starts again at its first line
            try:
                ended = client.get_job_status(job) in ENDED
                ended = asyncio.run(output.show()) and ended
                failures = 0
            except (RuntimeError, OSError, aiohttp.ClientError) as error:
                ended, failures = False, failures + 1
                if failures == FAILURES:
                    _tell(job, flags)
                    raise ConfigError(f"the cluster does not answer any more; the job goes on ({error}).") from error
            time.sleep(0.5)
        info = job_info(client, job)
    except KeyboardInterrupt:
        console.print("the job goes on")
        _tell(job, flags)
        return INTERRUPTED
    console.print(f"job {job} {str(info.status.value).lower()}", highlight=False)
    if info.driver_exit_code is None and info.message:
        console.print(info.message, highlight=False, markup=False)
    return info.driver_exit_code if info.driver_exit_code is not None else int(info.status.value != "SUCCEEDED")


def _connect(cluster: Path | None, **flags: Any) -> tuple[JobSubmissionClient, ClusterConfig]:
    from pipelines.cluster.address import read_cluster
    from pipelines.cluster.jobs import connect

    settings = read_cluster(cluster, **flags)
    return connect(settings), settings


def jobs(
    job: Annotated[str | None, typer.Argument(help="Id of a job: print its output, also while it runs.")] = None,
    address: Address = None,
    token_file: TokenFile = None,
    cluster: Cluster = None,
) -> None:
    """List the jobs of a cluster, or follow one job. The exit status is then that of the job."""
    if job is not None:
        from pipelines.cluster.jobs import job_info

        client, _ = _connect(cluster, address=address, token_file=token_file)
        job_info(client, job)
        raise typer.Exit(_wait(client, job, _given(address=address, **{"token-file": token_file}, cluster=cluster)))
    from rich.table import Column, Table

    from pipelines.cluster.address import read_cluster
    from pipelines.cluster.job_list import list_jobs

    table = Table(Column("job", no_wrap=True), "state", "began", "took", "command")
    for one in list_jobs(read_cluster(cluster, address=address, token_file=token_file)):
        took = (one.ended or time.time()) - one.began
        when = datetime.datetime.fromtimestamp(one.began).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(one.name, one.state, when, f"{took:.0f} s", one.command)
    console.print(table)


def stop(
    job: Annotated[str, typer.Argument(help="Id of the job, as `cu submit` and `cu jobs` print it.")],
    address: Address = None,
    token_file: TokenFile = None,
    cluster: Cluster = None,
) -> None:
    """End a job and all its processes. `--resume NAME` continues an unlearning run later."""
    from pipelines.cluster.jobs import job_info

    client, _ = _connect(cluster, address=address, token_file=token_file)
    info = job_info(client, job)
    if not client.stop_job(job):
        raise ConfigError(f"job {job} has ended already: {info.status.value.lower()}.")
    console.print(f"job {job} is being stopped")
