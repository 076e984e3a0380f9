"""Ray is started on this machine, or a cluster is joined that answers."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from typing import Any

import grpc
import ray

from cu_core.errors import ConfigError
from cu_core.secrets import masked
from pipelines.cluster.signals import interrupt_on_sigterm
from pipelines.console import console
from pipelines.probe import SECONDS, connect, why_silent

LONGEST = 107 - len("/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store")
"""Letters of a folder below which Ray's sockets fit: Linux takes names of 107."""
SHORT = "/tmp"
HOME = "127.0.0.1"


def start_ray(address: str) -> None:
    """Raises: ConfigError, within seconds, if no cluster answers there; or if this machine is too busy for its own."""
    alone = address == "local"
    if not alone and (found := _why_silent(address)):
        raise ConfigError(
            f"RAY_ADDRESS: no cluster answers at {masked(address)}: {found}. Start it, or unset RAY_ADDRESS to compute "
            f"on this machine."
        )
    root = logging.getLogger()
    before = root.handlers[:], root.level
    lines = ray.LoggingConfig(encoding="JSON", log_level="ERROR")  # of workers; this process's log stays as it was
    options = _options_of_own() if alone else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", logging_config=lines, **options)
    except Exception as error:  # a node that does not come up in time raises no finer class
        where = "on this machine (too busy?)" if alone else f"at RAY_ADDRESS={masked(address)}"
        raise ConfigError(f"Ray did not start {where}: {masked(str(error))[:200]} `--local` needs no Ray.") from error
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    interrupt_on_sigterm()  # Ray's own handler ends the process at once


def _why_silent(address: str) -> str | None:
    """What is wrong with the address of a cluster; None where it answers, or where Ray looks for it itself."""
    host, separator, port = address.rpartition("://")[2].rpartition(":")
    if not separator:
        return None if address == "auto" else "an address is HOST:PORT, ray://HOST:PORT or auto"
    if not port.isdigit() or not 0 < int(port) < 65536:
        return f"{port!r} is no port"
    if found := why_silent(lambda: connect(host.strip("[]"), int(port))):
        return found
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return None
    channel = grpc.insecure_channel(f"{host}:{port}")
    try:
        grpc.channel_ready_future(channel).result(timeout=SECONDS)
    except grpc.FutureTimeoutError:
        return f"what listens there does not speak Ray's protocol within {SECONDS:.0f} s"
    finally:
        channel.close()
    return None


def _options_of_own() -> dict[str, Any]:
    """A Ray of this process alone: only this machine reaches it, and its sockets have names that the system takes."""
    named = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or SHORT
    options: dict[str, Any] = {"_node_ip_address": HOME, "include_dashboard": False}
    if len(os.fsencode(os.path.abspath(named))) > LONGEST:
        variable = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
        try:
            short = tempfile.mkdtemp(prefix="cu-ray-", dir=SHORT)
        except OSError as error:
            raise ConfigError(
                f"{variable}: {named} is longer than the {LONGEST} letters that Ray's sockets allow, and {SHORT} "
                f"cannot be written; set RAY_TMPDIR to a short folder."
            ) from error
        console.print(
            f"{variable} is longer than the {LONGEST} letters that Ray's sockets allow: Ray uses {short}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        atexit.register(shutil.rmtree, short, ignore_errors=True)
        os.environ["TMPDIR"] = options["_temp_dir"] = short  # Ray's processes make sockets of their own there
    return options
