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
        ("method.temperature=-1", "method.temperature: Input should be greater than 0, got -1"),
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
        ("workers.count=0", "workers.count: Input should be greater than or equal to 1, got 0"),
        ("workers.shard=true", "shard spreads weights over workers: count must be at least 2, got 1"),
        ("audit.other_data=[x]", "audit.paraphrases, audit.other_data, .* are for image-text"),
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
    with pytest.raises(ConfigError, match="request.path: unknown key; keys of by_class there: kind, duplicates, cl"):
        load_config(None, ["request.kind=by_class", "request.path=ids.txt"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("request={kind: by_concept, concept: no}", "request.concept: .*got False; YAML reads yes, no, on.*quote it"),
        ("request.classes=[no]", "request.classes.0: .*got False; YAML reads yes, no, on"),
        ("request.classes=[2.5]", "request.classes.0: .*got 2.5; put a text in quotes"),
        ("name=on", "name: .*got True; YAML reads"),
        ("name=17", "name: .*got 17; put a text in quotes"),
    ],
)
def test_a_text_that_yaml_reads_otherwise_is_asked_for_in_quotes(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [override])


@pytest.mark.parametrize("preset", ["[a]", "{a: 1}", "3", "unknown"])
def test_a_preset_that_is_no_text_is_refused(preset: str) -> None:
    with pytest.raises(ConfigError, match="preset: Input should be 'default' or 'paper'"):
        load_config(None, [f"preset={preset}"])


def test_a_key_of_another_kind_is_refused_where_the_kind_is_not_given() -> None:
    with pytest.raises(ConfigError, match="request.concept: unknown key; keys of by_class there: kind, duplicates, "):
        load_config(None, ["request.concept=dog"])
