"""Every setting is flipped: the keys change of what it changes, and of nothing else."""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from cu_core.config import RunConfig
from cu_core.config_io import load_config
from cu_core.keys import ALL, EFFECTS, effects_of
from cu_core.methods.table import METHODS

MODEL = "model.name=open_clip:ViT-B-32"
REQUESTS = {
    "by_random": ["request.count=5"],
    "by_id": ["request.path=ids.txt"],
    "by_predicate": ["request.where=label == 1"],
    "by_score": ["request.path=scores.parquet", "request.count=5"],
    "by_neighbours": ["request.count=5"],
    "by_concept": ["request.concept=cat"],
}
BASES: dict[str, list[str]] = {
    **{
        name: [f"method.name={name}"] if "classifier" in method.models else [f"method.name={name}", MODEL]
        for name, method in METHODS.items()
    },
    **{kind: ["method.name=finetune", f"request.kind={kind}", *more] for kind, more in REQUESTS.items()},
    "pairs": [MODEL],
    "per_rank": ["batch_norm=per_rank", "workers.count=4", "workers.min_count=2"],
}
WHOLE = ("contrastive", "pairs", "per_rank")
"""Of the other bases only what is their own is flipped."""
AUDIT_OF_THE_RESULT = {"audit.oracles", "audit.margin_points", "audit.family_error"}
CONTENT = {"data.path", "data.half", "audit.other_data"}
"""In keys by the digests of what lies there, which tests of their own look at."""
PLACES_AND_SPEED = {
    *("name", "storage", "preset", "tracking.uri", "tracking.experiment", "tracking.registry_name"),
    *("workers.cpus", "workers.placement", "workers.gpu", "workers.models_per_gpu", "workers.rows_at_once"),
    *("workers.recompute", "workers.shard", "workers.checkpoint_every", "workers.profile", "workers.max_failures"),
    "audit.tasks",
}


def keys_of(config: RunConfig) -> dict[str, str]:
    models = config.original_key("d"), config.oracle_key("d", "f", 1), config.result_digest("d", "f")
    named = dict(zip(("original", "oracle", "unlearned"), models, strict=True))
    return named | {"figures": config.figures_key("weights", "f"), "report": config.report_key(models, [])}


def changed_by(path: str, base: str) -> set[str]:
    """What a reader would expect, said again without the table under test."""
    part = path.partition(".")[0]
    if path in PLACES_AND_SPEED | CONTENT or part == "request" or path in ("model.key_map", "model.weights_key"):
        return set()
    if path in ("workers.count", "workers.min_count"):
        return {"unlearned", "report"} if base == "per_rank" else set()
    if path == "train.workers.count":
        return {"original", "oracle", "unlearned", "report"} if base == "per_rank" else set()
    if path.startswith("train.workers."):
        return set()
    if path == "model.weights":  # an original that is trained becomes one that is taken from a file
        return {"original", "unlearned", "report"}
    if path in ("seed", "workers.precision", "train.objective") or part == "model":  # audits look at the objective
        return {"original", "oracle", "unlearned", "figures", "report"}
    if part == "train":
        return {"original", "oracle", "unlearned", "report"}
    if part in ("method", "optimizer", "batches", "stop", "trainable", "batch_norm"):
        return {"unlearned", "report"}
    if path in ("data.retain_shards", "audit.stop_rows"):
        return {"unlearned", "figures", "report"}
    if path in AUDIT_OF_THE_RESULT:
        return {"report"}
    return {"figures", "report"} if part == "audit" else {"original", "oracle", "unlearned", "figures", "report"}


def settings(part: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted path, value, annotation) of every setting of a configuration."""
    hints = typing.get_type_hints(type(part))
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from settings(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", value, hints[field.name]


def another(value: Any, annotation: Any) -> Any:
    """A value of the same kind that is not this one."""
    options = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return next((o for o in options if o != value), "another")
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        (kind, *_) = [o for o in options if o is not type(None)]
        return another(value, kind)
    if annotation is bool:
        return not value
    if annotation in (int, float):
        return (value or 0) + 1
    if isinstance(value, Mapping):
        return {**value, "new.": ""}
    if annotation is str or value is None:
        return f"{value or ''}x"
    return (*value, 1)


def with_setting(config: RunConfig, path: str, value: Any) -> RunConfig:
    """Changed without validation: no key needs a run that could be made."""
    changed = copy.deepcopy(config)
    part: Any = changed
    *around, name = path.split(".")
    for step in around:
        part = getattr(part, step)
    object.__setattr__(part, name, value)
    return changed


@pytest.mark.parametrize("base", BASES)
def test_every_setting_changes_the_keys_of_what_it_changes(base: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"1")
    config = load_config(None, BASES[base])
    before, seen = keys_of(config), []
    whole = base in WHOLE
    for path, value, annotation in settings(config):
        if not whole and not path.startswith(("method.", "request.")):
            continue
        file = path in ("model.weights", "model.start")
        flipped = with_setting(config, path, str(tmp_path / "weights.pt") if file else another(value, annotation))
        after = keys_of(flipped)
        assert {name for name in before if after[name] != before[name]} == changed_by(path, base), path
        seen.append(path)
    assert "method.name" in seen
    assert "request.kind" in seen
    assert not whole or {"seed", "audit.low_fpr", "workers.precision", "train.optimizer.lr"} <= {*seen}


def test_the_table_names_settings_that_there_are() -> None:
    paths = {path for base in BASES.values() for path, _, _ in settings(load_config(None, base))}
    for name in EFFECTS:
        assert any(path == name or path.startswith(f"{name}.") for path in paths), name


@pytest.mark.parametrize("path", ["new", "audit.new", "workers.new", "data.new"])
def test_a_setting_that_is_not_declared_changes_everything(path: str) -> None:
    assert effects_of(path) == ALL


def test_weights_from_a_file_belong_to_the_data_whose_normalisation_is_kept_with_them(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"1")
    config = load_config(None, [f"model.weights={tmp_path / 'weights.pt'}"])
    assert config.original_key("data") != config.original_key("other data")
    assert config.original_key("data") == with_setting(config, "seed", 5).original_key("data")
    mapped = with_setting(config, "model.key_map", {"module.": ""})
    assert config.original_key("data") != mapped.original_key("data")
    assert config.original_key("data") != with_setting(config, "model.width", 8).original_key("data")
    before = config.original_key("data")
    (tmp_path / "weights.pt").write_bytes(b"2")
    assert before != config.original_key("data")
    (tmp_path / "weights.pt").unlink()
    with pytest.raises(ValueError, match=r"model.weights: no file .*weights.pt"):
        config.original_key("data")


def test_the_number_of_workers_counts_where_each_has_statistics_of_its_own() -> None:
    def key(mode: str, count: int) -> str:
        return load_config(None, [f"batch_norm={mode}", f"workers.count={count}"]).result_digest("d", "f")

    assert key("per_rank", 1) != key("per_rank", 4)
    for mode in ("synced", "retain", "frozen"):
        assert key(mode, 1) == key(mode, 4)

    def trained(mode: str, count: int) -> list[str]:
        config = load_config(None, [f"batch_norm={mode}", f"train.workers.count={count}"])
        return [config.original_key("d"), config.oracle_key("d", "f", 1)]

    assert not {*trained("per_rank", 1)} & {*trained("per_rank", 2)}
    assert trained("synced", 1) == trained("synced", 2)


@pytest.mark.parametrize("name", ["original_key", "oracle_key", "result_digest", "figures_key", "report_key"])
def test_every_digest_that_is_given_counts(name: str) -> None:
    make = getattr(load_config(None), name)
    given: dict[str, list[Any]] = {
        "original_key": ["d"],
        "oracle_key": ["d", "f", 0],
        "result_digest": ["d", "f"],
        "figures_key": ["w", "f"],
        "report_key": [["m"], ["o"]],
    }
    for place, value in enumerate(given[name]):
        others = [*given[name]]
        others[place] = value + 1 if isinstance(value, int) else [*value, "x"] if isinstance(value, list) else "x"
        assert make(*given[name]) != make(*others)


def test_the_source_of_a_users_own_model_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(None, ["model.name=own_model:build", "model.embedding_layer=a"])
    monkeypatch.setattr("cu_core.config.own_source_digest", lambda module: f"source of {module}")
    assert config.model_by_content()["name"] == ["own_model:build", "source of own_model"]
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"model.name: no module no_such_model"):
        load_config(None, ["model.name=no_such_model:build", "model.embedding_layer=a"]).original_key("d")
