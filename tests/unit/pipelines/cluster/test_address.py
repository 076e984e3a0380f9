from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.cluster.address import ClusterConfig, read_cluster, token_of


@pytest.fixture(autouse=True)
def _no_cluster_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN", "CU_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_flags_go_before_the_environment_and_this_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("cluster.yaml").write_text("{address: http://file:1, root: /file, python: python3}")
    assert read_cluster(None) == ClusterConfig(address="http://file:1", root="/file", python="python3")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://environment:1")
    assert read_cluster(None).address == "http://environment:1"
    assert read_cluster(None, address="http://flag:1", root=None) == ClusterConfig(
        address="http://flag:1", root="/file", python="python3"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "which cluster"),
        ("address: head:8265", "must be that of the dashboard"),
        ("adress: http://a:1", "adress: unknown key; did you mean address"),
        ("{address: http://a:1, python: [1]}", "python: Input should be a valid string"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    Path("cluster.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_cluster(None)


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"no cluster file absent\.yaml"):
        read_cluster(Path("absent.yaml"))


def test_a_token_comes_from_its_file_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    (tmp_path / "token").write_text("secret\n")
    assert token_of(ClusterConfig(token_file=tmp_path / "token"))[0] == "secret"
    assert token_of(ClusterConfig())[0] == "another"
    (tmp_path / "token").write_text("\n")
    for file, message in (("token", "is empty"), ("absent", "no file")):
        with pytest.raises(ConfigError, match=message):
            token_of(ClusterConfig(token_file=tmp_path / file))
