"""Passwords, tokens and keys are hidden in everything that is printed, stored, logged or sent: the one place for it."""

from __future__ import annotations

import os
import re
from typing import Any

MASK = "***"
_USER = re.compile(r"(?<=://)(?:[^\s/:@'\"]*:(?!\d+/)[^\s'\"]*|[^\s/@'\"]+)@")
"""User and password of an address; a password may hold a slash, which the port of a host without password does not."""
_WORDS = r"(?:passwords?|passwd|pwd|secrets?|tokens?|credentials?|signature|sig|api[_-]?keys?|access[_-]?keys?)"
_NAME = rf"(?<![A-Za-z])(?:[\w-]*[_-])?{_WORDS}(?:[_-](?!(?:file|path)\b)[\w-]+)?"
_SAID = r"unknown (?:key|value)\b"
"""What a message says after the name of a setting."""
_QUERY = re.compile(rf"([?&]{_NAME}=)[^\s&'\"]+", re.IGNORECASE)
_PAIR = re.compile(rf"({_NAME}['\"]?\s*[=:]\s*['\"]?)(?![=\s]|{_SAID})[^\s'\",;&}}\]]+", re.IGNORECASE)
_BEARER = re.compile(r"(\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")
_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w.-]{10,})"
)
"""Tokens that are known by how they begin."""
_KEY = r"(?:-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d)"
_PRIVATE_KEY = re.compile(_KEY)
_WRITTEN_KEY = re.compile(rf"{_KEY}(?:\\[nr]|\s)+[\w+/=]{{16,}}")
"""A private key itself; code and its tests may hold the line alone with which keys begin."""
_LOGIN = re.compile(r"://[^\s/:@'\"]{0,200}:(?!\d+[/?#])(?![$<{*])[^\s@'\"]{1,200}@")
_START = r"(?:^|[{,;?&])[ \t]*(?:- |export )?[ \t]*['\"]?"
_KEPT = rf"(?:[\w.-]{{0,60}}[._-])?{_WORDS}(?:[_-](?!(?:dir|file|name|path|policy|type|url)\b)[\w-]{{1,60}})?"
_PLAIN = r"(?!(?:[-+.\d]+|true|false|null|none)(?:[\s,;}\]]|$))"
_SETTING = re.compile(
    rf"{_START}({_KEPT})['\"]?[ \t]*[=:][ \t]*(?:['\"]|{_PLAIN})(?![$<{{*(\[|>&%'\"])[^\s'\",;]{{6,}}",
    re.IGNORECASE | re.MULTILINE,
)
"""A secret as files of settings have it: neither a number nor a placeholder such as ``${TOKEN}`` or ``<pad>``."""
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
FOLDER = "PWD"
"""The one variable of such a name that is none: the folder in which the shell stands."""
LEAST = 6
"""Letters that the value of a variable must have to be looked for in a text."""
LEAST_IN_FILES = 12
"""The same in files, where a shorter one (``postgres``) is a word among others."""


def names_secret(name: str) -> bool:
    """Return whether a variable or a setting of this name holds a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def _secret_variables() -> list[tuple[str, str]]:
    return [(n, v) for n, v in os.environ.items() if len(v) >= LEAST and n != FOLDER and names_secret(n)]


def masked_address(text: str) -> str:
    """Hide user, password and signed parts of the addresses in a text; nothing else is changed."""
    return _QUERY.sub(rf"\1{MASK}", _USER.sub(f"{MASK}@", text)) if "://" in text else text


def masked(text: str) -> str:
    """Hide secrets in a text for people: of addresses, ``password=...``, tokens, and values of secret variables."""
    for _, value in _secret_variables():
        text = text.replace(value, MASK)
    text = _PAIR.sub(rf"\1{MASK}", masked_address(text))
    return _SHAPES.sub(MASK, _BEARER.sub(rf"\1{MASK}", text))


def secret_within(text: str, code: bool, settings: bool) -> str | None:
    """Return which secret the text of a file holds, or ``None``.

    Args:
        text: The text.
        code: Whether the text is code or about code, which may hold the line alone with which a private key begins.
        settings: Whether ``NAME=VALUE`` and ``NAME: VALUE`` in it set values.
    """
    if (_WRITTEN_KEY if code else _PRIVATE_KEY).search(text):
        return "a private key"
    for name, value in _secret_variables():
        if len(value) >= LEAST_IN_FILES and value in text:
            return f"the value of {name}"
    if _SHAPES.search(text):
        return "a token"
    if settings and _LOGIN.search(text):
        return "an address with a password"
    found = _SETTING.search(text) if settings else None
    return f"a value of {found[1]}" if found else None


def masked_settings(value: Any) -> Any:
    """Hide what addresses hold in every text of nested settings."""
    if isinstance(value, str):
        return masked_address(value)
    if isinstance(value, dict):
        return {key: masked_settings(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked_settings(inner) for inner in value)
    return value
