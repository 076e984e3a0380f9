"""Files that may hold a secret, by their name and by what they hold; and those that are about secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.cluster.secret_files import PIECE, why_secret

ROOT = Path(__file__).parents[4]
HEAD = "-----BEGIN {} KEY-----"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def why(name: str, text: str | bytes = "seed: 1\n") -> str | None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return why_secret(path)


@pytest.mark.parametrize(
    "name",
    [
        "api_keys.yaml", "apikeys.json", "access_keys.csv", "accessKeys.csv", "rootkey.csv", "gcp-key.json", "key.json",
        "keys/my-project-1234-abcdef.json", "mytoken.json", "my secrets.txt", "auth.json", "oauth.json", "pass.txt",
        "ray.token", "netrc", ".envrc", ".env~", ".kubeconfig", ".dockercfg", ".s3cfg", ".boto", ".my.cnf",
        ".config/gcloud/x.json", "ssh_key", "deploy_key", "rclone.conf", "terraform.tfstate",
        "terraform.tfstate.backup", "credentials.yaml.bak", "server.pem.old", "id_rsa~", ".AWS/x.json",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert why(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "keys.py", "test_keys.py", "auth.js", "tokens.md", "tokenizer.json", "key_map.json", "monkey.json",
        "special_tokens_map.json", "bypass.csv", "authors.txt", "keyword.yaml", "passage.txt", "environment.yml",
    ],
)  # fmt: skip
def test_names_of_other_files(name: str) -> None:
    assert why(name) is None


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("aws.ini", "[default]\naws_secret_access_key = abc/DEF+ghi1", "a value of aws_secret_access_key"),
        ("setup.cfg", "WANDB_API_KEY=0123456789abcdef", "a value of WANDB_API_KEY"),
        ("conf/run.yaml", "HF_TOKEN: hf_" + "a" * 30, "a token"),
        ("train.py", "login('hf_" + "a" * 30 + "')", "a token"),
        ("conf/db.yaml", "db: {user: me, password: p$ssw0rd!}", "a value of password"),
        ("conf/list.yaml", "- password: 'hunter22'", "a value of password"),
        ("a.json", '{"user": "me","client_secret":"hunter22"}', "a value of client_secret"),
        ("a.txt", "export DB_PASSWORD=hunter22".encode("utf-16"), "a value of DB_PASSWORD"),
        ("b.txt", "\ufeffDB_PASSWORD=hunter22", "a value of DB_PASSWORD"),
        ("run.yaml", "tracking: {uri: https://bob:pa/ss@host}", "an address with a password"),
        ("pgp.txt", HEAD.format("PGP PRIVATE").replace("KEY-", "KEY BLOCK-"), "a private key"),
        ("putty.txt", "PuTTY-User-Key-File-2: ssh-rsa", "a private key"),
        ("long.txt", "a" * 3 * PIECE + HEAD.format("RSA PRIVATE"), "a private key"),
        ("border.txt", "a" * (PIECE - 9) + HEAD.format("RSA PRIVATE"), "a private key"),
        ("a.py", f'KEY = """{HEAD.format("PRIVATE")}\n{"A" * 64}"""', "a private key"),
        ("a.bin", b"\xff\x00\x01" + HEAD.format("PRIVATE").encode(), "a private key"),
    ],
)
def test_secrets_in_any_place_of_a_file(name: str, text: str | bytes, told: str) -> None:
    assert why(name, text) == f"it holds {told}, which is to be set on the cluster's machines"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "password = read_password(token=None)"),
        ("test_a.py", f'text = "{HEAD.format("PRIVATE")}"'),
        ("a.md", "https://user:password@host and password: hunter22"),
        ("a.yaml", "password: ${PASSWORD}\ntoken_file: /run/token\nmax_tokens: 100000000\nsecret: false\n"),
        ("a.yaml", "uri: http://host:5000/a@b\nimage: git://host/a\nweights: https://${USER}:${PASS}@host"),
        ("tokenizer_config.json", '{"pad_token": "<|endoftext|>", "mask_token": "[MASK]", "eos_token": "</s>"}'),
        ("vocab.json", '{"password": 1234567, "secret": 7654321}'),
        ("captions.csv", "image,caption\na.png,they keep the secret: nobody knew"),
    ],
)
def test_what_only_names_secrets(name: str, text: str) -> None:
    assert why(name, text) is None


def test_the_value_of_a_secret_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_PASSWORD", "postgres")
    assert why("a.py", "start('postgres')") is None
    monkeypatch.setenv("DB_PASSWORD", "hunter22-hunter22")
    assert why("a.py", "login('hunter22-hunter22')") == (
        "it holds the value of DB_PASSWORD, which is to be set on the cluster's machines"
    )


def test_this_project_s_own_files_hold_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.chdir(ROOT)
    folders = ("cu_core", "pipelines", "tests", "docs", "tune_configs")
    files = [p for folder in folders for p in Path(folder).rglob("*") if p.suffix in (".py", ".md", ".yaml", ".json")]
    assert len(files) > 500
    assert {path: found for path in files if (found := why_secret(path))} == {}
