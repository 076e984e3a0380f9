"""Write the pages of docs/reference that are made from the code: settings, command line, files.

Run ``python docs/make_reference.py`` from the root of the repository after a change to a setting, a command or the
first line of a module.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from cu_core.config import RunConfig
from cu_core.methods.table import METHODS
from cu_core.presets import METHOD_LR, preset_for
from cu_core.types import RequestKind
from pipelines.cli.main import app
from pipelines.cluster.address import ClusterConfig
from pipelines.compare.config import CompareConfig
from pipelines.sweep.config import SweepConfig

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Made by docs/make_reference.py; edit the code, not this page. -->\n"
KINDS: tuple[RequestKind, ...] = ("class", "sample")
SELECTORS = ("kind", "name")
"""Keys that say which of several parts a mapping is."""
FILES = {
    RunConfig: (
        "Run",
        "`cu unlearn`, `cu train`, `cu audit-strong`, `cu calibrate`, `cu score`, `cu repeat`, `cu bench`",
    ),
    CompareConfig: ("Comparison", "`cu compare`"),
    SweepConfig: ("Sweep", "`cu sweep`"),
    ClusterConfig: ("Cluster", "`cu submit`, `cu jobs`, `cu stop`"),
}
SETTINGS_HEAD = """# Settings

Every key of every configuration file, with its default and its meaning. A key is written as a dotted path:
`method.temperature` is the key `temperature` in the part `method` of a YAML file, and `method.temperature=0.3` on the
command line. Defaults are those of the code; a preset sets further values (see [Presets](#presets)). The order of
precedence is: defaults, then the preset, then the YAML file, then the command line.
"""
PRESETS_HEAD = """## Presets

`preset: default` and `preset: paper` set the values below for the method `contrastive`, depending on the kind of
request. A value in the YAML file or on the command line replaces them. A dash: the preset does not set this key.
"""
OTHERS_HEAD = """### Other methods

With `preset: default`, every other method gets these values, and a learning rate of its own (`optimizer.lr`). A dash:
the method does not accept this kind of request, or the preset sets no rate.
"""
CLI_HEAD = """# Command line

`cu COMMAND --help` shows the same text. The exit status is 0 if the command succeeds, 2 for a mistake in the command or
a file, 130 after Ctrl-C or SIGTERM, and 1 otherwise. `cu submit` and `cu jobs ID` end with the status of the job.
"""
PAIRS_HEAD = """### Image-text models

With an image-text model, the preset sets these values for every method. *Pairs* are the values of
`contrastive_clip` for samples.
"""


def meanings(kind: type) -> dict[str, str]:
    """Docstrings of the fields of a dataclass, inherited ones included."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for node, after in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
                found[node.target.id] = cell(str(ast.literal_eval(after.value)))
    return found


def cell(text: str) -> str:
    """One line, for a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [heading, ["---"] * len(heading), *rows]]
    return "\n".join(line.replace("|  |", "| |") for line in lines) + "\n"


def members(hint: Any) -> list[Any]:
    """Parts of a union; of anything else, itself."""
    bare = hint
    while get_origin(bare) is Annotated:
        bare = get_args(bare)[0]
    return list(get_args(bare)) if get_origin(bare) in (Union, UnionType) else [hint]


def values(hint: Any) -> str:
    """What a setting may hold."""
    return " or ".join(_values(part) for part in members(hint))


def _values(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        return _values(get_args(hint)[0]) + _range(get_args(hint)[1:])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return f"list of {values(arguments[0])}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "mapping"
    names = {bool: "`true`, `false`", int: "integer", float: "number", str: "text", Path: "path", NoneType: "`null`"}
    return names.get(hint, "mapping")


def _range(marks: Sequence[Any]) -> str:
    """The ends of a range: ``, 0 to 1``."""
    ends = {name: getattr(m, name) for mark in marks for m in getattr(mark, "metadata", []) for name in vars_of(m)}
    if not ends:
        return ""
    low = f"{ends['ge']}" if "ge" in ends else f"above {ends['gt']}"
    return f", {low} to {ends['le']}" if "le" in ends else f", {low} and below {ends['lt']}"


def vars_of(mark: Any) -> list[str]:
    """Which ends of a range a mark states."""
    return [name for name in ("ge", "gt", "le", "lt") if hasattr(mark, name)]


def shown(value: Any) -> str:
    """A default, as YAML has it."""
    if value is dataclasses.MISSING:
        return "required"
    if value is None or isinstance(value, bool):
        return f"`{'null' if value is None else str(value).lower()}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value != {} else "`{}`"


def parts(hint: Any) -> list[type]:
    """Dataclasses that a setting holds, directly or as the values of a mapping."""
    if inspect.isclass(get_origin(hint)) and issubclass(get_origin(hint), Mapping):
        hint = get_args(hint)[1]
    return [part for part in members(hint) if dataclasses.is_dataclass(part)]


def sections(kind: type, instance: Any, prefix: str, depth: int) -> Iterator[str]:
    """The table of a dataclass's own settings, then a section for each part."""
    told, hints, rows, later = meanings(kind), get_type_hints(kind, include_extras=True), [], list[str]()
    for field in dataclasses.fields(kind):
        held = getattr(instance, field.name) if instance is not None else default_of(field)
        inner = parts(hints[field.name])
        mapped = inspect.isclass(get_origin(hints[field.name])) and issubclass(get_origin(hints[field.name]), Mapping)
        key = f"{prefix}{field.name}" + (".LABEL" if inner and mapped else "")
        if not inner:
            chosen = "Selects this part." if len(get_args(hints[field.name])) == 1 and field.name in SELECTORS else ""
            rows.append((f"`{key}`", values(hints[field.name]), shown(held), chosen or told.get(field.name, "")))
        for part in inner:
            title = f"`{key}`, {variant(part)}" if len(inner) > 1 else f"`{key}`"
            later.append(f"{'#' * depth} {title}\n\n{' '.join((part.__doc__ or '').split())}\n")
            later += sections(part, held if type(held) is part else None, f"{key}.", min(depth + 1, 5))
    if rows:
        yield table(("setting", "values", "default", "meaning"), rows)
    yield from later


def variant(part: type) -> str:
    """What tells a member of a union from the others: its ``kind`` or ``name``."""
    told = next(f for f in dataclasses.fields(part) if f.name in SELECTORS)
    return f"{told.name} `{told.default}`"


def default_of(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: shown(value)}
    return found


def preset_table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    found = {name: flat(settings) for name, settings in columns.items()}
    keys = dict.fromkeys(key for settings in found.values() for key in settings)
    return table(
        ("setting", *found), [(f"`{k}`", *(settings.get(k, "-") for settings in found.values())) for k in keys]
    )


def presets() -> Iterator[str]:
    yield PRESETS_HEAD
    ours = {f"{p}, {k}": preset_for(p, k, "contrastive") for p in ("default", "paper") for k in KINDS}
    yield preset_table(ours)
    yield OTHERS_HEAD
    others = {kind: preset_for("default", kind, "ssd") for kind in KINDS}
    yield preset_table({k: {n: v for n, v in s.items() if n != "optimizer"} for k, s in others.items()})
    rates = [(f"`{m}`", *(f"`{METHOD_LR[k][m]}`" if m in METHOD_LR[k] else "-" for k in KINDS)) for m in METHODS]
    yield table(("method", *(f"`optimizer.lr`, {k}" for k in KINDS)), [row for row in rates if {*row[1:]} != {"-"}])
    yield PAIRS_HEAD
    pairs = {kind: preset_for("default", kind, "scrub", pairs=True) for kind in KINDS}
    yield preset_table(pairs | {"pairs": preset_for("default", "sample", "contrastive_clip", pairs=True)})


def settings_page() -> str:
    """All configuration files."""
    found = [SETTINGS_HEAD]
    for kind, (title, commands) in FILES.items():
        needed = any(default_of(field) is dataclasses.MISSING for field in dataclasses.fields(kind))
        found.append(f"## {title}\n\n{' '.join((kind.__doc__ or '').split())}\n\nRead by {commands}.\n")
        found += sections(kind, None if needed else kind(), "", 3)
    return NOTE + "\n" + "\n".join([*found, *presets()])


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A command and those below it."""
    if hasattr(command, "commands"):
        for below in sorted(command.commands):
            yield from commands(command.commands[below], f"{name} {below}")
    else:
        yield name, command


def usage(option: Any) -> str:
    """How an option is written."""
    flag = getattr(option, "is_flag", False)
    return "`" + ", ".join(option.opts) + ("" if flag else f" {option.metavar or 'VALUE'}") + "`"


def command_section(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument" and not p.hidden]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
    words = [a.metavar or (a.name.upper() if a.required else f"[{a.name.upper()}]") for a in arguments]
    yield f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n"
    yield "```text\n" + " ".join([name, *words, *(["[OPTIONS]"] if options else [])]) + "\n```\n"
    if arguments:
        rows = [(f"`{word}`", cell(a.help or "")) for word, a in zip(words, arguments, strict=True)]
        yield table(("argument", "meaning"), rows)
    if options:
        bare = (None, False, ())
        rows = [(usage(o), "" if o.default in bare else f"`{o.default}`", cell(o.help or "")) for o in options]
        yield table(("option", "default", "meaning"), rows)


def cli_page() -> str:
    """All commands."""
    found = [line for name, one in commands(typer.main.get_command(app), "cu") for line in command_section(name, one)]
    return NOTE + "\n" + "\n".join([CLI_HEAD, *found])


def files_page() -> str:
    """A line per module: the first line of its docstring."""
    rows = []
    for folder in ("cu_core", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            doc = ast.get_docstring(ast.parse(path.read_text()))
            if doc:
                rows.append((f"`{path.relative_to(ROOT)}`", doc.splitlines()[0].replace("|", "&#124;")))
    head = (
        "# Files\n\nOne line per module: the first line of its docstring. `cu_core` is the library, `pipelines` is the "
    )
    head += "command line, Ray, MLflow and reports.\n"
    return NOTE + "\n" + head + "\n" + table(("file", "what it is"), rows)


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings_page, "cli.md": cli_page, "files.md": files_page}


def main() -> None:
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())


if __name__ == "__main__":
    main()
