"""What a run's settings may not be together, and what its keys are made of. Every single setting: test_keys.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cu_core.config import DataConfig, RunConfig, TrainConfig
from cu_core.config_io import load_config
from cu_core.data.loader import Batches
from cu_core.errors import ConfigError, UserError
from cu_core.files import file_sha256

PAIRS = "model.name=open_clip:ViT-B-32"
RANDOM = ["request.kind=by_random", "request.count=5"]
CONCEPT = ["request.kind=by_concept", "request.concept=cat"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainable.tune=lora", "workers.shard spreads towers that train: set trainable.tune=full or last_blocks"),
        ("train={workers: {count: 2, shard: true}, trainable: {tune: head}}", "set train.trainable.tune=full"),
        ("train.workers.shard=true", "shard spreads weights over workers: count must be at least 2"),
        ("method.name=salun", "salun needs whole weights"),
        ("method.name=null_space", "null_space needs whole weights"),
        ("batch_norm=per_rank", "shard needs equal ones"),
        ("workers.rows_at_once=8", "shard and rows_at_once cannot be had together"),
    ],
)
def test_weights_that_cannot_be_spread(override: str, message: str) -> None:
    spread = ["model.name=open_clip:ViT-B-32", "workers.count=2", "workers.shard=true"]
    assert load_config(None, spread).workers.shard
    with pytest.raises(ConfigError, match=message):
        load_config(None, [*spread, override])


def test_names_of_an_audited_file_do_not_change_what_is_trained(tmp_path: Path) -> None:
    mapped = ['model.key_map={"module.": ""}']
    assert load_config(None, mapped).original_key("d") == load_config(None).original_key("d")
    assert load_config(None, mapped).oracle_key("d", "f", 0) == load_config(None).oracle_key("d", "f", 0)
    (tmp_path / "start.pt").write_bytes(b"1")
    begun = ["model.name=open_clip:ViT-B-32", f"model.start={tmp_path / 'start.pt'}"]
    assert load_config(None, [*begun, *mapped]).original_key("d") != load_config(None, begun).original_key("d")


def test_a_pool_of_shards_changes_the_result_and_not_what_is_trained_on_all_rows() -> None:
    whole, some = load_config(None), load_config(None, ["data.retain_shards=3"])
    assert some.result_digest("d", "f") != whole.result_digest("d", "f")
    assert some.original_key("d") == whole.original_key("d")
    assert some.oracle_key("d", "f", 1) == whole.oracle_key("d", "f", 1)


@pytest.mark.parametrize("short", ["stop.max_steps=4", "method.name=logit_mask"])
def test_a_trace_needs_its_steps(short: str) -> None:
    assert load_config(None, ["workers.profile=true"]).workers.profile
    with pytest.raises(ConfigError, match="workers.profile traces steps 3 to 5"):
        load_config(None, ["workers.profile=true", short])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(retain_shards=0), "retain_shards must be at least 1, got 0"),
        (lambda: DataConfig(retain_shards=2, half=0), "cannot be used for pools of models on random halves"),
        (lambda: TrainConfig(epochs=0), "epochs must be positive and batch at least 1"),
        (lambda: TrainConfig(batch=0), "epochs must be positive and batch at least 1"),
        (lambda: RunConfig(batches=Batches(forget_batch=0)), "batches.forget_batch must be at least 1"),
    ],
)
def test_numbers_that_are_too_small(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method.name=contrastive_clip"], "contrastive_clip needs an image-text model; model.name resnet18 is none"),
        ([PAIRS, "method.name=scrub"], "scrub cannot change an image-text model; these can: .*contrastive_clip"),
        (["trainable.towers=both"], "are for image-text models; model.name resnet18 is none"),
        (["train.trainable.towers=image"], "are for image-text models; model.name resnet18 is none"),
        (["workers.rows_at_once=8"], "are for image-text models"),
        (["audit.other_data=[x]"], "are for image-text models"),
        (["audit.paraphrases=[a dog]"], "are for image-text models"),
        (["audit.languages=[de]"], "are for image-text models"),
        (["audit.style_column=style"], "are for image-text models"),
        ([PAIRS, *RANDOM, "audit.paraphrases=[a dog]"], "audit.paraphrases is for requests of a class or concept"),
        (
            [PAIRS, "audit.paraphrases=[a dog]", "audit.audits=[accuracy, membership]"],
            "belongs to the audit retrieval; name it in audit.audits",
        ),
        ([PAIRS, "audit.audits=[accuracy, membership, noise]"], "the audits noise .* are for classifiers"),
        ([PAIRS, "audit.audits=[accuracy, membership, views]"], "the audits noise and views .* are for classifiers"),
        (["audit.audits=[accuracy, membership, views]"], "the audit views is for train.objective=supcon"),
        (
            ["train.objective=simclr", "train.augment=crop_flip"],
            "train.augment has no effect with train.objective=simclr",
        ),
        (["train.objective=moco", "model.projection=8"], "model.projection is for train.objective=cross_entropy"),
        (["train.contrast.temperature=0.3"], "train.contrast is for train.objective=supcon, simclr or moco"),
        (["train.objective=simclr", "train.contrast.queue=9"], "queue and momentum are for train.objective=moco"),
        (["train.objective=simclr", "train.batch=1"], "contrasts the rows of a batch; train.batch must be at least 2"),
        (["train.objective=byol"], "train.objective: .*'cross_entropy', 'supcon', 'simclr' or 'moco'"),
        ([PAIRS, "train.objective=simclr"], "train.objective=simclr is for classifiers"),
        ([PAIRS, "audit.noise_levels=4"], "audit.noise_levels are for classifiers"),
        ([PAIRS, "method.name=null_space", *RANDOM], "null_space cannot forget samples"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings_that_do_not_go_together(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, overrides)


def test_settings_of_image_text_models_that_go_together() -> None:
    more = ["audit.paraphrases=[a dog]", "audit.audits=[accuracy, membership, retrieval]"]
    assert load_config(None, [PAIRS, *more]).audit.paraphrases == ("a dog",)
    assert load_config(None, [PAIRS, *CONCEPT, more[0]]).asked == "class"


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        ([], "class"),
        (RANDOM, "sample"),
        (CONCEPT, "sample"),
        ([PAIRS, *CONCEPT], "class"),
        ([PAIRS, *RANDOM], "sample"),
    ],
    ids=str,
)
def test_a_concept_is_a_class_to_a_model_that_reads_captions(overrides: list[str], asked: str) -> None:
    method = [] if PAIRS in overrides else ["method.name=finetune"]
    assert load_config(None, [*overrides, *method]).asked == asked


def test_half_of_the_forget_rows_is_kept_from_the_stop_rule() -> None:
    free = load_config(None, ["stop.rule=none"])
    assert not free.halves_forget_rows
    assert replace(free, audit=replace(free.audit, report_on="stop")).halves_forget_rows
    assert load_config(None, ["stop.rule=none", "audit.forget_rows=half"]).halves_forget_rows
    assert replace(free, stop=load_config(None).stop).halves_forget_rows == (load_config(None).stop.rule != "none")


def test_workers_that_train_are_those_of_training() -> None:
    config = load_config(None, [PAIRS, "workers.count=2", "workers.shard=true", "train.workers.count=3"])
    found = config.while_training
    assert (found.workers.count, found.workers.shard, found.workers.profile) == (3, False, False)
    assert (config.workers.count, config.workers.shard) == (2, True)
    assert replace(found, workers=config.workers) == config


def with_model(**settings: Any) -> RunConfig:
    config = load_config(None)
    return replace(config, model=replace(config.model, **settings))


@pytest.mark.parametrize("weights", [None, "pretrained"])
def test_weights_that_are_no_file(weights: str | None) -> None:
    assert with_model(weights=weights).weights_file is None


def test_weights_of_a_file_are_named_by_their_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pt", tmp_path / "other.pt"
    one.write_bytes(b"1")
    other.write_bytes(b"1")
    keys = [with_model(weights=str(path)).original_key("d") for path in (one, other)]
    assert keys[0] == keys[1]
    other.write_bytes(b"2")
    assert with_model(weights=str(other)).original_key("d") != keys[0]
    assert with_model(weights=str(one)).weights_file == one
    assert with_model(weights=str(one)).oracle_key("d", "f", 0) == load_config(None).oracle_key("d", "f", 0)
    one.unlink()
    with pytest.raises(UserError, match=f"model.weights: no file {one}"):
        with_model(weights=str(one)).original_key("d")


def test_files_that_a_model_names_are_named_by_their_content(tmp_path: Path) -> None:
    start = tmp_path / "start.pt"
    start.write_bytes(b"1")
    assert with_model(start=str(start)).model_by_content()["start"] == file_sha256(start)
    assert with_model(weights="x.pt").model_by_content()["weights"] is None
    assert with_model(weights="pretrained").model_by_content()["weights"] == "pretrained"
    start.unlink()
    with pytest.raises(UserError, match=f"model.start: no file {start}"):
        with_model(start=str(start)).model_by_content()
    own = tmp_path / "tiny.json"
    own.write_text("{}")
    found = load_config(None, [f"model.name=open_clip:{own}"]).model_by_content()
    assert found["name"] == ["open_clip", [file_sha256(own)]]
    assert load_config(None, [PAIRS]).model_by_content()["name"] == "open_clip:ViT-B-32"


def test_each_oracle_and_each_data_set_has_a_key_of_its_own() -> None:
    config = load_config(None)
    keys = [config.oracle_key(*of) for of in (("d", "f", 0), ("d", "f", 1), ("d", "g", 0), ("e", "f", 0))]
    assert len({*keys, config.original_key("d"), config.original_key("e")}) == 6
    assert config.result_digest("d", "f") != config.result_digest("d", "g")
    assert config.report_key(["a", "b"], []) != config.report_key(["a"], ["b"])


def test_limits_depend_on_the_shape_of_a_request_and_not_on_seed_or_oracles() -> None:
    base = load_config(None)
    key = base.limits_key("d", ["class", 5])
    assert load_config(None, ["seed=3", "audit.oracles=7"]).limits_key("d", ["class", 5]) == key
    assert base.limits_key("d", ["class", 6]) != key
    assert base.limits_key("e", ["class", 5]) != key
    assert load_config(None, ["train.epochs=3"]).limits_key("d", ["class", 5]) != key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cu_core.config.source_digest", lambda *parts: f"another {parts}")
        assert base.limits_key("d", ["class", 5]) != key


@pytest.mark.parametrize(
    ("settings", "added"),
    [
        ([*RANDOM, "preset=paper"], True),
        ([*RANDOM, "preset=paper", "method.terms=push"], True),
        ([*RANDOM, "preset=paper", "method.terms=pull"], False),
        (RANDOM, False),  # its loss has no push: method.lambda_ul is 0
        ([*RANDOM, "method.name=finetune"], False),
        (["request.kind=by_class"], False),
    ],
)
def test_positives_are_added_to_samples_of_many_classes_if_the_method_pushes(settings: list[str], added: bool) -> None:
    config = load_config(None, settings)
    assert config.batches.retain_sampling == "auto"
    assert config.batches_for(49).retain_sampling == "uniform"
    assert config.batches_for(50).retain_sampling == ("class_aware" if added else "uniform")
