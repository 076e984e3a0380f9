"""One cluster for all tests here, and one finished run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FASHION
from tests.soak.cluster import Cluster, reachable
from tests.soak.hosts import Hosts
from tests.soak.place import Place
from tests.soak.s3_server import configure, install

MAKE_BUCKET = "from pyarrow import fs; fs.FileSystem.from_uri('s3://unlearning?allow_bucket_creation=true')[0].create_dir('unlearning')"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    programs = install(Path("build") / "swift")
    with Hosts(folder / "hosts") as hosts:
        cluster = Cluster(hosts, folder)
        for number, words in enumerate(configure(programs.resolve(), folder / "s3")):
            cluster.start(1, *words, log=f"s3-{number}.log")
        cluster.serve_link()
        cluster.serve_mlflow()
        cluster.join(1)
        cluster.wait(reachable(f"http://{cluster.head}:9020/healthcheck"))
        cluster.wait(reachable(f"http://{cluster.head}:8265/api/version"))
        for host in range(2, hosts.count + 1):
            cluster.join(host)
        assert cluster.python(MAKE_BUCKET) == 0, (folder / "python.log").read_text()
        cluster.wait(reachable(f"{cluster.mlflow}/health"))
        yield cluster


@pytest.fixture(scope="session")
def packed(cluster: Cluster) -> None:
    for source, name, *more in (
        ("digits", "digits"),
        (f"fashion-mnist:{FASHION}", "fashion", "--train-rows", "3000", "--shard-rows", "500"),
    ):
        words = ["pack", source, f"s3://unlearning/data/{name}", "--val-frac", "0.2", *more]
        status, printed = cluster.cu("data", *words)
        assert status == 0, printed


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Packed data, and a storage with a finished run."""
    folder = tmp_path_factory.mktemp("made")
    place = Place(folder, folder / "digits")
    place.write_files()
    place.end(["data", "pack", "digits", str(place.data)])
    place.end(place.words("unlearn", "made"))
    return place
