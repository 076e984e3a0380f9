"""YAML as plain values, with bounds: on depth, on what aliases expand to, and on the length of numbers.

Unlike in YAML 1.1, a key may stand once in a mapping, there are no tags (``!!int``), a whole number has decimal digits
only (``010``, ``0x10`` and ``1:30`` stay texts), no number holds ``:`` or ``_`` (``1:30.5`` and ``1_0.5`` stay texts),
and a date stays the text that it is, since no setting is a date.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from cu_core.errors import ConfigError

DEEPEST = 30
"""Most levels of nesting."""
MOST_VALUES = 20_000
"""Most keys and values, aliases counted as what they stand for."""
LONGEST_NUMBER = 100
"""Most characters of a number."""
INT, FLOAT, TIMESTAMP, MERGE = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp", "merge"))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, bounded."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in (INT, FLOAT, TIMESTAMP)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"more than {DEEPEST} levels of nesting", problem_mark=self.get_mark())
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem=f"a tag, {event.tag[:60]}", problem_mark=event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set[object]()
        for key, _ in node.value:
            if key.tag != MERGE and isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value[:60]} stands there twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(INT, re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(r"^(?:[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$"),
    list("-+0123456789."),
)


def load_yaml(text: str, source: str) -> Any:
    """Load YAML.

    Args:
        text: The text.
        source: Its name, for the message.

    Returns:
        Plain values; ``None`` for an empty text.

    Raises:
        ConfigError: It is not valid YAML, or exceeds a bound.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {_reason(error)}.") from error


def _check_size(root: yaml.Node) -> None:
    """Count the values below a node, those of an alias each time that it stands there.

    Raises:
        yaml.YAMLError: There are too many, or a number is too long.
    """
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MOST_VALUES} values, aliases counted as what they stand for",
                problem_mark=node.start_mark,
            )
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif node.tag == INT and len(node.value) > LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(problem=f"a number of {len(node.value)} digits", problem_mark=node.start_mark)


def _reason(error: yaml.YAMLError) -> str:
    """What is wrong and in which line, in one short line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())[:300]
    mark = error.problem_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    parts = [part for part in (error.context, error.problem) if part]
    hint = "; indent with spaces, not tabs" if "\\t" in str(error.problem) else ""
    return f"{' '.join(' '.join(parts).split())[:300]}{where}{hint}"
