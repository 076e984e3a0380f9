from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from cu_core.bounds import plain_name
from cu_core.config_io import load_config, run_config
from cu_core.errors import ConfigError
from pipelines.cluster.address import ClusterConfig
from pipelines.compare.config import CompareConfig
from pipelines.sweep.config import SweepConfig

FILES: dict[str, TypeAdapter[Any]] = {
    "run": run_config(),
    **{kind.__name__: TypeAdapter(kind) for kind in (CompareConfig, SweepConfig, ClusterConfig)},
}
LOW, HIGH = {"ge", "gt", "minimum", "exclusiveMinimum"}, {"le", "lt", "maximum", "exclusiveMaximum"}


def unbounded(schema: Any, path: str = "") -> Iterator[str]:
    """Paths of numbers of a schema that have no range."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and not (LOW & {*schema} and HIGH & {*schema}):
            yield path
        for key, value in schema.items():
            yield from unbounded(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from unbounded(value, f"{path}/{number}")


@pytest.mark.parametrize("file", FILES)
def test_every_number_of_every_configuration_file_has_a_range(file: str) -> None:
    assert not list(unbounded(FILES[file].json_schema()))


def test_a_number_without_a_range_would_be_found() -> None:
    assert list(unbounded({"properties": {"a": {"type": "integer", "minimum": 0}}})) == ["/properties/a"]


@pytest.mark.parametrize(
    "override",
    [
        *("seed=-1", "seed=4294967296", "seed=18446744073709551616", "seed=true", "seed=1_0", "seed=0x10", "seed=1.5"),
        *("train.epochs=.inf", "train.epochs=1e400", "method.temperature=.inf", "method.temperature=.nan"),
        *("audit.margin_points=.nan", "audit.margin_points=4", "audit.margin_points=0", "workers.cpus=.nan"),
        *("data.half=-1", "batches.retain_batch=99999999999", "batches.retain_batch=0", "model.width=1000000000000"),
        *("model.image_size=-1", "model.image_size=1000000", "audit.oracles=1000000000", "optimizer.lr=.nan"),
        *("optimizer.lr=-.inf", "optimizer.momentum=1", "stop.utility_points=.nan", "request.classes=[-1]"),
        *("request={kind: by_random, count: -3}", "request={kind: by_random, frac: .nan}", "train.batch=1e30"),
    ],
)
def test_numbers_outside_their_range_are_refused_when_the_configuration_is_read(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_ends_of_a_range_are_taken() -> None:
    config = load_config(None, ["seed=4294967295", "audit.oracles=0", "model.image_size=4096", "optimizer.momentum=0"])
    assert (config.seed, config.audit.oracles, config.model.image_size) == (4294967295, 0, 4096)
    assert load_config(None, ["seed=010"]).seed == 10  # decimal, not octal


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 121, "a b", "a\nb", "a:b", "\ud800"])
def test_names_that_cannot_be_folders_are_refused_by_every_command(name: str) -> None:
    with pytest.raises(ValueError, match="must begin with a letter"):
        plain_name(name)
    with pytest.raises(ConfigError):
        load_config(None, [f"name={name!r}"])


@pytest.mark.parametrize("name", ["2024-01-01", "run_1", "été", "a" * 120, "lr=0.1"])
def test_plain_names_are_taken_as_they_are(name: str) -> None:
    assert load_config(None, [f"name={name}"]).name == name


@pytest.mark.parametrize("setting", ["tracking.experiment", "tracking.registry_name"])
@pytest.mark.parametrize("name", ["a/b", "a:b", "../x", "a'b", "b" * 300, "", " "])
def test_names_that_mlflow_refuses_are_refused_before_a_run(setting: str, name: str) -> None:
    with pytest.raises(ConfigError, match="since MLflow takes it" if name else "tracking"):
        load_config(None, [f'{setting}="{name}"'])
