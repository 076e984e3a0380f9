"""Links of the documentation lead somewhere; its commands, options, settings, files and make targets exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from cu_core import __version__
from pipelines.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "infra" / "README.md",
    ROOT / "infra" / "scale.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
CONFIGS = sorted((ROOT / "tune_configs").rglob("*.yaml"))
SHELL = ("", "bash", "sh")
"""Languages of blocks that hold commands."""
UNCLEAR = ("data of before", "as they are to be", "with all rows of --of, without")
"""Words of sentences that said less than a reader needs."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fences(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of every fenced block."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)


def links(text: str) -> list[str]:
    """Relative ones, without their anchors."""
    plain = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", plain)
    return [link.split("#")[0] for link in found if not re.match(r"[a-z]+:|#", link)]


def lines(text: str) -> Iterator[str]:
    """Lines of blocks of commands, joined where they go on, and pieces of code inside sentences."""
    for language, block in fences(text):
        if language in SHELL:
            yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


@cache
def settings() -> frozenset[str]:
    """Dotted keys of all configuration files, and the parts that they belong to."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    keys = set(re.findall(r"^\| `([\w.]+)` \|", page, re.M)) | {"methods", "requests"}
    parts = {key.rsplit(".", n)[0] for key in keys for n in range(1, key.count(".") + 1)}
    return frozenset(keys | parts)


def options(command: Any) -> set[str]:
    """Without hidden ones, which only say what took their place."""
    shown = [param for param in command.params if not param.hidden]
    return {opt for param in shown for opt in [*param.opts, *param.secondary_opts]} | {"--help"}


def mistakes(line: str) -> list[str]:
    """What is wrong with a ``cu`` command; ``NAME``, ``FILE`` and the like stand for anything."""
    words = shlex.split(line, comments=True)[1:]
    return _mistakes(words[: words.index("--")] if "--" in words else words) + (
        _mistakes(words[words.index("--") + 1 :]) if "--" in words else []
    )


def _mistakes(words: Sequence[str]) -> list[str]:
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands") and not rest[0].isupper():
        if rest[0] not in command.commands and rest[0] != "--help":
            return [f"no command {rest[0]}"]
        if rest[0] == "--help":
            return []
        command = command.commands[rest.pop(0)]
    if hasattr(command, "commands"):
        return []
    flags = [word.split("=")[0] for word in rest if word.startswith("--")]
    found = [f"no option {flag}" for flag in flags if flag not in options(command)]
    keys = [word.split("=")[0] for word in rest if re.match(r"[a-z_]+[\w.]*=", word)] if words[0] != "data" else []
    found += [f"no setting {key}" for key in keys if key.removeprefix("set.") not in settings() and key != "key"]
    files = [word for word in rest if word.startswith("tune_configs/") and not (ROOT / word).is_file()]
    return found + [f"no file {file}" for file in files]


def commands(text: str) -> list[str]:
    return [line for line in lines(text) if line.startswith("cu ")]


def test_the_citation_is_valid_and_of_this_version() -> None:
    schema = ["--builtin-schema", "vendor.citation-file-format"]
    subprocess.run([sys.executable, "-m", "check_jsonschema", *schema, str(ROOT / "CITATION.cff")], check=True)
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited == [__version__]
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_to_files(document: Path) -> None:
    assert [link for link in links(document.read_text()) if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_commands_exist_with_their_options_settings_and_files(document: Path) -> None:
    found = {line: mistakes(line) for line in commands(document.read_text())}
    assert {line: wrong for line, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_make_targets_exist(document: Path) -> None:
    named = [word for line in lines(document.read_text()) for word in re.findall(r"^make ([a-z-]+)", line)]
    assert set(named) <= targets()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_sentences_that_were_read_twice_stay_away(document: Path) -> None:
    text = " ".join(document.read_text().split())
    assert [words for words in UNCLEAR if words in text] == []


def test_words_of_requests_over_time_are_explained() -> None:
    words = set(re.findall(r"^\| ([^|]+?) \|", (ROOT / "docs" / "concepts" / "words.md").read_text(), re.M))
    needed = {"ledger", "certificate", "batch of requests", "chain", "drift", "version", "purge", "copies"}
    assert needed - words == set()


@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_the_command_of_a_configuration_exists(config: Path) -> None:
    (command,) = re.findall(r"\A# (cu [^(\n]+)", config.read_text())
    assert mistakes(command) == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("cu unlearn tune_configs/base/digits_class.yaml request.classes=[3] --dry-run", []),
        ("cu unlearn CONFIG 'request={kind: by_class, classes: [5]}'   # with a comment --nonsense", []),
        ("cu forget tune_configs/base/digits_class.yaml", ["no command forget"]),
        ("cu data peck digits data/digits", ["no command peck"]),
        ("cu audit NAME --explain mia_auc --schem", ["no option --explain", "no option --schem"]),
        ("cu unlearn tune_configs/base/none.yaml", ["no file tune_configs/base/none.yaml"]),
        ("cu unlearn CONFIG method.temprature=0.3", ["no setting method.temprature"]),
        ("cu sweep CONFIG set.workers.gpu=true trials=8", []),
        ("cu submit --address A -- unlearn CONFIG --detach", ["no option --detach"]),
        ("cu submit --adress A -- unlearn CONFIG", ["no option --adress"]),
        ("cu COMMAND --help", []),
    ],
)
def test_a_mistake_in_a_command_is_found(line: str, wrong: list[str]) -> None:
    assert mistakes(line) == wrong


TEXT = """See [this](a.md#part) and [that](https://example.org/b.md), `make docs`, `[no](link.md)`.

```
make test
cu audit NAME \\
  --out DIR
```

```yaml
cu: none
```
"""


def test_links_and_commands_are_read() -> None:
    assert links(TEXT) == ["a.md"]
    assert commands(TEXT) == ["cu audit NAME    --out DIR"]
    assert list(lines(TEXT))[0] == "make test"
    assert "make docs" in lines(TEXT)
