"""Passwords, tokens and keys are hidden in everything that is printed, stored, logged or sent: the one place for it."""

from __future__ import annotations

import os
import re
from typing import Any

MASK = "***"
_USER = re.compile(r"(?<=://)(?:[^\s/:@'\"]*:(?!\d+/)[^\s'\"]*|[^\s/@'\"]+)@")
"""User and password of an address; a password may hold a slash, which the port of a host without password does not."""
_WORDS = r"(?:passwords?|passwd|pwd|secrets?|tokens?|credentials?|signature|sig|api[_-]?key|access[_-]?key)"
_NAME = rf"(?<![A-Za-z])(?:[\w-]*[_-])?{_WORDS}(?:[_-](?!(?:file|path)\b)[\w-]+)?"
_QUERY = re.compile(rf"([?&]{_NAME}=)[^\s&'\"]+", re.IGNORECASE)
_PAIR = re.compile(rf"({_NAME}['\"]?\s*[=:]\s*['\"]?)(?![=\s])[^\s'\",;&}}\]]+", re.IGNORECASE)
_BEARER = re.compile(r"(\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}")
_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w.-]{10,})"
)
"""Tokens that are known by how they begin."""
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
FOLDER = "PWD"
"""The one variable of such a name that is none: the folder in which the shell stands."""
LEAST = 6
"""Letters that the value of a variable must have to be looked for in a text."""


def names_secret(name: str) -> bool:
    """Return whether a variable or a setting of this name holds a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def masked_address(text: str) -> str:
    """Hide user, password and signed parts of the addresses in a text; nothing else is changed."""
    return _QUERY.sub(rf"\1{MASK}", _USER.sub(f"{MASK}@", text)) if "://" in text else text


def masked(text: str) -> str:
    """Hide secrets in a text for people: of addresses, ``password=...``, tokens, and values of secret variables."""
    for name, value in os.environ.items():
        if len(value) >= LEAST and name != FOLDER and names_secret(name) and value in text:
            text = text.replace(value, MASK)
    text = _PAIR.sub(rf"\1{MASK}", masked_address(text))
    return _SHAPES.sub(MASK, _BEARER.sub(rf"\1{MASK}", text))


def masked_settings(value: Any) -> Any:
    """Hide what addresses hold in every text of nested settings."""
    if isinstance(value, str):
        return masked_address(value)
    if isinstance(value, dict):
        return {key: masked_settings(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked_settings(inner) for inner in value)
    return value
