"""A server of the S3 protocol that checks signatures: OpenStack Swift with its s3api, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SWIFT = "swift==2.38.3"
ACCESS, SECRET = "test:tester", "testing"  # those of the temporary authentication, of a server that lives for a test
PORTS = {"object": 6200, "container": 6201, "account": 6202, "proxy": 9020}
LINK = 9021
"""Where clients reach the store: through a link that can be slowed down."""
FILTERS = {
    "catch_errors": "",
    "gatekeeper": "",
    "healthcheck": "",
    "listing_formats": "",
    "bulk": "",
    "s3api": "s3_acl = no\nlocation = us-east-1",
    "tempauth": "user_test_tester = testing .admin",
    "copy": "",
    "slo": "",
    "dlo": "",
    "versioned_writes": "allow_versioned_writes = true\nallow_object_versioning = true",
    "symlink": "",
}


def install(folder: Path) -> Path:
    """Its own environment, once; returns its folder of programs."""
    if not (folder / "bin" / "swift-proxy-server").is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", SWIFT], check=True)
    return folder / "bin"


def configure(programs: Path, folder: Path) -> list[list[str]]:
    """Write rings and settings; returns the four commands to start."""
    etc, devices = folder / "etc", folder / "devices"
    for made in (etc, devices / "d1", folder / "cache"):
        made.mkdir(parents=True)
    (etc / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = s\nswift_hash_path_prefix = p\n"
        "[storage-policy:0]\nname = gold\ndefault = yes\n[swift-constraints]\nmax_header_size = 16384\n"
    )
    default = f"[DEFAULT]\nbind_ip = {{}}\nbind_port = {{}}\nworkers = 0\nuser = root\nswift_dir = {etc}\n"
    store = f"devices = {devices}\nmount_check = false\nfallocate_reserve = 0\nrecon_cache_path = {folder / 'cache'}\n"
    builder = str(programs / "swift-ring-builder")
    for role in ("object", "container", "account"):
        ring = [builder, str(etc / f"{role}.builder")]
        for words in (["create", "4", "1", "0"], ["add", f"r1z1-127.0.0.1:{PORTS[role]}/d1", "1"], ["rebalance"]):
            subprocess.run([*ring, *words], check=True, stdout=subprocess.DEVNULL)
        app = f"[pipeline:main]\npipeline = {role}-server\n[app:{role}-server]\nuse = egg:swift#{role}\n"
        (etc / f"{role}.conf").write_text(default.format("127.0.0.1", PORTS[role]) + store + app)
    parts = [f"[filter:{name}]\nuse = egg:swift#{name}\n{more}\n" for name, more in FILTERS.items()]
    app = "[app:proxy-server]\nuse = egg:swift#proxy\nallow_account_management = true\naccount_autocreate = true\n"
    pipeline = f"[pipeline:main]\npipeline = {' '.join(FILTERS)} proxy-server\n"
    (etc / "proxy.conf").write_text(default.format("0.0.0.0", PORTS["proxy"]) + pipeline + app + "".join(parts))
    return [[str(programs / f"swift-{role}-server"), str(etc / f"{role}.conf")] for role in PORTS]


def credentials(host: str) -> dict[str, str]:
    """Environment of its clients."""
    return {
        "AWS_ENDPOINT_URL": f"http://{host}:{LINK}",
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
