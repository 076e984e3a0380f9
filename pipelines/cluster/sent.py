"""What a job is sent: a list of what may go, never all that lies in the folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cu_core.errors import ConfigError
from cu_core.yaml_io import read_yaml
from cu_core.yaml_loader import load_yaml
from pipelines.cluster.secret_files import why_secret

NOT_SENT = ("data", "shared", "outputs", "mlruns", "build")
"""Folders of results and data, of this folder itself and not of a package in it."""
SUFFIXES = (
    ".cfg", ".csv", ".ini", ".j2", ".jinja", ".js", ".json", ".md", ".py", ".toml", ".txt", ".typed", ".yaml", ".yml",
)  # fmt: skip
"""What goes where no git says what belongs to the project."""
LIBRARIES = ("open_clip", "timm", "torchvision", "transformers")
"""Before the colon of a model that is made by a library; else code of the user's is imported."""


@dataclass
class Sent:
    """Relative paths that go, and those that do not, with the reason."""

    files: list[Path] = field(default_factory=list)
    left: dict[Path, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files)

    def copy(self, target: Path) -> None:
        for path in self.files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / path, follow_symlinks=False)


def what_is_sent(words: Sequence[str]) -> Sent:
    """Files that git tracks here (outside git: of ``SUFFIXES``, without hidden ones), and those that the command and
    its configuration name; of these none that may hold a secret, and no links.

    Raises: ConfigError if a file that the command names may not go.
    """
    sent, named = Sent(), named_files(words)
    for path in sorted({*(_tracked() or _allowed()), *named}):
        if why := _why_not(path):
            sent.left[path] = why
            if path in named:
                raise ConfigError(f"{path} is named by the command and is not sent: {why}.")
        else:
            sent.files.append(path)
    return sent


def named_files(words: Sequence[str]) -> list[Path]:
    """Files in this folder that the words of a command name, and that the configurations among them name."""
    found = [path for word in words for text in _values(word) if (path := _in_folder(text))]
    for path in [p for p in found if p.suffix in (".yaml", ".yml")]:
        found += [inner for text in _texts(read_yaml(path)) if (inner := _in_folder(text))]
    return found


def _values(word: str) -> Iterator[str]:
    """Texts of a word of a command: the word, or what it sets, which may be a mapping in one line."""
    yield word
    value = word.partition("=")[2]
    yield value
    try:
        yield from _texts(load_yaml(value, word))
    except ConfigError:  # no setting, but an expression
        return


def _in_folder(text: str) -> Path | None:
    path = Path(text.partition(":")[2] if ":" in text else text)
    if not text or "\0" in text or path.is_absolute() or ".." in path.parts or len(text) > 500 or not path.is_file():
        return None
    return path


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _tracked() -> list[Path]:
    """Empty where this is no checkout, or there is no git."""
    if shutil.which("git") is None:
        return []
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=False)
    names = listed.stdout.decode(errors="surrogateescape").split("\0") if listed.returncode == 0 else []
    return [Path(name) for name in names if name and (Path(name).is_file() or Path(name).is_symlink())]


def _allowed(folder: Path = Path()) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__" or (not folder.parts and path.name in NOT_SENT):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _allowed(path)
        elif path.suffix in SUFFIXES or path.is_symlink():
            yield path


def _why_not(path: Path) -> str | None:
    if path.is_symlink() or any(parent.is_symlink() for parent in path.parents):
        return "links are not followed"
    if path.parts[0] in NOT_SENT:
        return f"{path.parts[0]}/ holds data and results"
    return why_secret(path)


def check_owner(words: Sequence[str]) -> None:
    """A configuration with a model of its own is code that the cluster runs.

    Raises: ConfigError if others can write such a file.
    """
    for path in named_files(words):
        if path.suffix not in (".yaml", ".yml") or not path.stat().st_mode & 0o022:
            continue
        if model := next(_own_models(read_yaml(path)), None):
            raise ConfigError(
                f"{path} imports code (model.name={model}) and others than its owner can write it; chmod go-w {path}."
            )


def _own_models(value: object) -> Iterator[str]:
    """Names of models that are functions of a package, wherever a configuration has them."""
    if isinstance(value, list):
        for inner in value:
            yield from _own_models(inner)
    if isinstance(value, dict):
        for key, inner in value.items():
            name = (
                inner.get("name")
                if key == "model" and isinstance(inner, dict)
                else inner
                if key == "model.name"
                else ""
            )
            if isinstance(name, str) and ":" in name and name.partition(":")[0] not in LIBRARIES:
                yield name
            yield from _own_models(inner)
