"""What `cu submit` sends, and what never goes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cu_core.errors import ConfigError
from pipelines.cluster.address import ClusterConfig
from pipelines.cluster.jobs import check_secrets
from pipelines.cluster.sent import check_owner, what_is_sent

GOOD = (
    "cu_core/data/loader.py",
    "cu_core/secrets.py",
    "pipelines/cli/main.py",
    "run.yaml",
    "tokenizer.json",
    "py.typed",
)
RESULTS = ("data/digits/a.csv", "outputs/a.json", "build/x.py", "shared/data/a.txt")
SECRET = (
    ".env", ".env.local", "prod.env", ".netrc", ".git-credentials", ".aws/credentials", ".aws/config.json",
    ".ssh/config", "id_rsa", "id_ed25519.pub", "a/b/server.pem", "tls.key", "ray-token", "auth_token.txt",
    "secrets.yaml",
    "api_key.json", "credentials.json", "service-account.json", ".npmrc", ".kube/config", "notes.txt",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*GOOD, *RESULTS, *SECRET):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("seed: 1\n")
    (tmp_path / "notes.txt").write_text("-----BEGIN RSA PRIVATE KEY-----\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sent(*words: str) -> list[str]:
    return [str(path) for path in what_is_sent(words).files]


def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)


@pytest.mark.parametrize("tracked", [True, False])
def test_no_secret_and_no_result_goes_tracked_or_not(folder: Path, tracked: bool) -> None:
    if tracked:
        git("init", "-q")
        git("add", "-f", ".")
    assert sent("unlearn", "run.yaml") == sorted(GOOD)


def test_of_a_checkout_goes_what_git_tracks_and_what_is_named(folder: Path) -> None:
    git("init", "-q")
    git("add", "pipelines", "cu_core/data")
    (folder / "ids.csv").write_text("1")
    (folder / "run.yaml").write_text("request: {kind: by_ids, path: ids.csv}")
    assert sent("unlearn", "run.yaml", "model.weights=tokenizer.json") == [
        "cu_core/data/loader.py", "ids.csv", "pipelines/cli/main.py", "run.yaml", "tokenizer.json",
    ]  # fmt: skip


def test_what_a_mapping_in_one_line_names_goes_too(folder: Path) -> None:
    (folder / "ids.lst").write_text("1")
    (folder / "more.lst").write_text("1")
    assert "ids.lst" in sent("unlearn", "run.yaml", "request={kind: by_id, path: ids.lst}")
    assert "more.lst" in sent("unlearn", "run.yaml", "audit.other_data=['more.lst']", "where=a = 'b' and [")


@pytest.mark.parametrize("tracked", [True, False])
def test_links_are_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory, tracked: bool) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.py").write_text("secret")
    (folder / "link.py").symlink_to(outside / "a.py")
    (folder / "linked").symlink_to(outside)
    if tracked:
        git("init", "-q")
        git("add", "-f", "link.py", "linked", "run.yaml")
    found = what_is_sent(["unlearn", "run.yaml"])
    assert not [path for path in found.files if "link" in str(path)]
    assert {str(path): why for path, why in found.left.items() if "link" in str(path)} == {
        "link.py": "links are not followed", "linked": "links are not followed",
    }  # fmt: skip
    found.copy(outside / "copy")
    assert not [
        path for path in (outside / "copy").rglob("*") if "secret" in (path.read_text() if path.is_file() else "")
    ]
    with pytest.raises(
        ConfigError, match="linked/a.py is named by the command and is not sent: links are not followed"
    ):
        what_is_sent(["unlearn", "run.yaml", "model.weights=linked/a.py"])


def test_a_secret_that_is_named_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="secrets.yaml is named by the command and is not sent"):
        what_is_sent(["unlearn", "secrets.yaml"])
    (folder / "run.yaml").write_text("tracking: {uri: https://bob:hunter2@host}")
    with pytest.raises(ConfigError, match="run.yaml is named .* not sent: it holds an address with a password") as told:
        what_is_sent(["unlearn", "run.yaml"])
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "mode", "refused"),
    [
        ("model: {name: 'mine:build'}", 0o666, True),
        ("model: {name: 'mine:build'}", 0o664, True),
        ("base: {model: {name: my.package:Net}}", 0o666, True),
        ("space: [{model.name: 'mine:build'}]", 0o666, True),
        ("model: {name: 'mine:build'}", 0o644, False),
        ("model: {name: resnet18}", 0o666, False),
        ("model: {name: 'timm:resnet18'}", 0o666, False),
    ],
)
def test_code_of_a_file_that_others_can_write(folder: Path, text: str, mode: int, refused: bool) -> None:
    (folder / "run.yaml").write_text(text)
    (folder / "run.yaml").chmod(mode)
    if not refused:
        check_owner(["unlearn", "run.yaml"])
        return
    with pytest.raises(ConfigError, match="run.yaml imports code .*chmod go-w run.yaml"):
        check_owner(["unlearn", "run.yaml"])


def test_a_job_is_given_no_secret() -> None:
    for words in (["tracking.uri=http://me:hunter2@host"], ["data.path=s3://b/x?token=hunter2"]):
        with pytest.raises(ConfigError, match="dashboard shows") as told:
            check_secrets(ClusterConfig(), words)
        assert "hunter2" not in str(told.value)
    for variables in ({"DB_PASSWORD": "hunter2"}, {"MLFLOW_TRACKING_URI": "http://me:hunter2@host"}):
        with pytest.raises(ConfigError, match=r"runtime_env\.env_vars"):
            check_secrets(ClusterConfig(runtime_env={"env_vars": variables}), [])
    with pytest.raises(ConfigError, match=r"runtime_env\.working_dir"):
        check_secrets(ClusterConfig(runtime_env={"working_dir": "."}), [])
    check_secrets(
        ClusterConfig(runtime_env={"env_vars": {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}}), ["unlearn", "a"]
    )
