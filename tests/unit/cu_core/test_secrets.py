"""What is hidden, and what must stay."""

from __future__ import annotations

import pytest

from cu_core.secrets import masked, masked_address, masked_settings, names_secret

SECRET = "hunter2-Xy"


@pytest.mark.parametrize(
    "text",
    [
        f"http://user:{SECRET}@host:5000/x",
        f"tracking.uri=postgresql://me:{SECRET}@db/mlflow",
        f"mysql+pymysql://me:a/{SECRET}@db/x",
        f"https://{SECRET}@host/",
        f"MLflow at http://u:{SECRET}@h cannot be used: x",
        f"s3://bucket/a?X-Amz-Signature={SECRET}&y=1",
        f"https://h/?access_key={SECRET}",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"password: '{SECRET}'",
        f'{{"token": "{SECRET}"}}',
        f"Authorization: Bearer {SECRET}",
        f"--api-key={SECRET}",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    assert SECRET not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1",
        "models:/digits@unlearned",
        "s3://bucket/folder/file@2.arrow",
        "token_file=/home/me/.ray/auth_token",
        "tokenizer: simple",
        "model.weights_key=module.ema",
        "sqlite:////home/me/mlflow.db",
        "request.where=user == 5",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_the_value_of_a_secret_variable_is_hidden_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    assert masked(f"cannot log in as me with {SECRET}") == "cannot log in as me with ***"


def test_the_folder_of_the_shell_is_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/me/project")
    assert masked("the disk is full: /home/me/project/outputs") == "the disk is full: /home/me/project/outputs"


def test_what_a_message_says_of_a_setting_stays() -> None:
    assert masked("password: unknown key; keys there: name") == "password: unknown key; keys there: name"
    assert masked("password: unknown1") == "password: ***"


def test_plurals_hide_too() -> None:
    assert masked(f"api_keys={SECRET} access_keys: {SECRET}") == "api_keys=*** access_keys: ***"


def test_a_setting_loses_nothing_but_what_its_address_holds() -> None:
    settings = {"uri": f"http://u:{SECRET}@h/a", "where": "token = 5", "list": [f"s3://k:{SECRET}@b/x", 1, None]}
    assert masked_settings(settings) == {
        "uri": "http://***@h/a",
        "where": "token = 5",
        "list": ["s3://***@b/x", 1, None],
    }
    assert masked_address("where token = 'a'") == "where token = 'a'"


@pytest.mark.parametrize(
    ("name", "secret"), [("DB_PASSWORD", True), ("HF_TOKEN", True), ("RAY_AUTH_TOKEN_PATH", False)]
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert names_secret(name) is secret
