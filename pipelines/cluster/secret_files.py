"""Whether a file may hold a secret, by its name and by all that it holds."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from cu_core.secrets import names_secret, secret_within

FILES = (
    ".env*", "*.env", "*netrc", ".git-credentials", ".npmrc", ".pypirc", ".pgpass", ".htpasswd", ".boto", ".s3cfg",
    ".my.cnf", ".dockercfg", ".dockerconfigjson", "*kubeconfig*", "rclone.conf", "*.tfstate*", "*.tfvars",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore",
    "*.kdbx", "*.ppk", "service[-_]account*.json",
)  # fmt: skip
FOLDERS = {
    ".aws", ".azure", ".docker", ".gcloud", ".gnupg", ".kube", ".password-store", ".ssh", "credentials", "gcloud",
    "keys", "secrets",
}  # fmt: skip
HARMLESS = ("added_tokens.json", "special_tokens_map.json")
"""Files of a tokenizer."""
CODE = (".c", ".cpp", ".css", ".go", ".h", ".html", ".j2", ".java", ".jinja", ".js", ".md", ".py", ".rs", ".rst", ".ts")
"""Files that may be called after a secret and name some: they are about it."""
SETTINGS = (".cfg", ".conf", ".csv", ".ini", ".json", ".properties", ".sh", ".toml", ".txt", ".yaml", ".yml")
"""Files in which ``NAME=VALUE`` sets a value; what has no suffix does so too."""
_COPY = re.compile(r"(?:~|\.(?:bak|copy|old|orig|save|swp|tmp|\d+))+$")
_NAMED = re.compile(
    r"(?:token|secret|password|passwd|credential)s?$|^(?:pass|pwd)$|(?:^|[\W_])o?auth$"
    r"|(?:^|[\W_]|access|api|deploy|private|root|secret|ssh)keys?$"
)
PIECE, OVERLAP = 2**20, 2**13
"""Bytes of a file that are searched at a time, and those that are searched twice: a secret may lie across a border."""


def why_secret(path: Path) -> str | None:
    """Why a file may hold a secret, or ``None``."""
    name = _COPY.sub("", path.name.lower())
    code = name.endswith(CODE)
    if name not in HARMLESS:
        if any(fnmatch.fnmatch(name, pattern) for pattern in FILES):
            return "files of this name hold secrets"
        if not code and not FOLDERS.isdisjoint(part.lower() for part in path.parts[:-1]):
            return "folders of this name hold secrets"
        if not code and any(_is_secret(part) for part in name.split(".")):
            return "it is called after a secret"
    suffix = Path(name).suffix
    return _why_content(path, code=code, settings=suffix in SETTINGS or not suffix)


def _is_secret(part: str) -> bool:
    return names_secret(part.replace(" ", "_")) or _NAMED.search(part) is not None


def _why_content(path: Path, code: bool, settings: bool) -> str | None:
    kept = b""
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            # Without its zero bytes and mark, text in UTF-16 reads as any other.
            text = (kept + piece).replace(b"\0", b"").decode(errors="ignore").removeprefix("\ufeff")
            if found := secret_within(text, code=code, settings=settings):
                return f"it holds {found}, which is to be set on the cluster's machines"
            kept = piece[-OVERLAP:]
    return None
