from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cu_core.config_io import differences, dump_config, load_config
from cu_core.data.requests import ByRandom
from cu_core.errors import ConfigError
from cu_core.methods.scrub import Scrub

CONFIGS = sorted((Path(__file__).parents[3] / "tune_configs" / "base").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configurations_load_and_open_with_their_command(path: Path) -> None:
    load_config(path)
    first = path.read_text().splitlines()[:12]
    assert first[0].startswith("# cu unlearn tune_configs/base/" + path.name)
    assert any("not run here" in line or "gap" in line.lower() for line in first)


def test_defaults_then_preset_then_file_then_command_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("preset: paper\nmethod: {temperature: 0.2}\noptimizer: {lr: 1e-4}\n")
    config = load_config(path, ["optimizer.lr=0.5", "request.classes=[3, 4]", "seed=7"])
    assert config.method.name == "contrastive"
    assert (config.method.temperature, config.method.lambda_ul) == (0.2, 3.0)  # file over preset over default
    assert (config.optimizer.lr, config.optimizer.momentum, config.seed) == (0.5, 0.9, 7)
    assert config.request.kind == "by_class"
    assert config.request.classes == (3, 4)


def test_the_dump_is_the_resolved_whole(tmp_path: Path) -> None:
    config = load_config(None, ["request.kind=by_random", "request.count=5", "method.name=finetune"])
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.temprature=0.3", "method.temprature: unknown key; did you mean method.temperature?"),
        ("optimiser.lr=0.3", "optimiser: unknown key; did you mean optimizer?"),
        ("method.temperature=warm", "method.temperature: Input should be a valid number.*got 'warm'"),
        ("method.temperature=-1", "method: temperature must be positive, got -1"),
        ("method.name=contrastiv", "method.name: unknown value 'contrastiv'; did you mean contrastive?"),
        ("batch_norm=sync", "batch_norm: .*got 'sync'; did you mean synced?"),
        ("request.kind=by_clas", "did you mean by_class"),
        ("method.terms=push", "push has no effect on a class request"),
        ("method={lambda_ul: 0, lambda_prototype: 0}", "then have no effect"),
        (
            "method.pull_weights=uniform",
            "lambda_prototype needs method.pull_weights=tilted or forests",
        ),
        ("seed", "must have the form key.path=value"),
        ("train=5", "train: must hold keys and values, got 5"),
        ("workers.count=0", "workers: count, models_per_gpu and rows_at_once must be at least 1, cpus more than 0"),
        ("workers.shard=true", "shard spreads weights over workers: count must be at least 2, got 1"),
        ("workers={shard: true, count: 2}", "workers.shard, audit.paraphrases and audit.other_data are for image-text"),
        ("batches.forget_batch=0", "forget_batch must be at least 1"),
    ],
)
def test_every_mistake_is_one_line_with_its_path(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("a: [", "not valid YAML"), ("- 1", "must hold keys and values")])
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    with pytest.raises(ConfigError, match="no configuration file"):
        load_config(tmp_path / "absent.yaml")


def test_yaml_is_loaded_safely(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("seed: !!python/object/apply:os.getpid []\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(path)
    assert yaml.safe_load("1e-4") == "1e-4"  # what pydantic turns into a number


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainable.towers=both", "spreads an image tower that trains"),
        ("trainable.tune=lora", "spreads an image tower that trains"),
        ("method.name=salun", "salun looks at weights one by one"),
        ("method.name=null_space", "null_space looks at weights one by one"),
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


def test_what_another_result_comes_from() -> None:
    one, other = load_config(None, []), load_config(None, ["method.name=scrub", "seed=3", "workers.count=2", "name=x"])
    found = differences(one.of_the_result(), other.of_the_result())
    assert "seed was 0, is 3" in found
    assert "method.name was contrastive, is scrub" in found
    assert not [line for line in found if line.startswith(("workers", "name", "method.l"))]
    assert not differences(one.of_the_result(), load_config(None, ["workers.count=2"]).of_the_result())


def test_settings_may_be_given_in_any_order() -> None:
    kind, seed, count = "request.kind=by_random", "request.seed=4", "request.count=300"
    for overrides in ([kind, seed, count], [seed, kind, count], [seed, count, kind]):
        assert load_config(None, overrides).request == ByRandom(count=300, seed=4)
    assert load_config(None, ["method.alpha=0.7", "method.name=scrub"]).method == Scrub(alpha=0.7)


def test_keys_of_another_kind_are_said_to_be() -> None:
    with pytest.raises(ConfigError, match="request.path: unknown key; keys of by_class there: kind, classes"):
        load_config(None, ["request.kind=by_class", "request.path=ids.txt"])
