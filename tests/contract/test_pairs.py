"""Every method that can change an image-text model passes the same tests on a small open_clip model."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cu_core.audit.answers import answers_of
from cu_core.audit.subject import Subject
from cu_core.audit.table import AUDITS, METRICS, audit_against, audit_alone, metrics_of
from cu_core.config import RunConfig
from cu_core.data.convert import SplitPlan, pack
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.data.sources import SourceOptions
from cu_core.errors import ConfigError
from cu_core.methods.table import METHODS
from cu_core.run import Hooks, fresh_model, load_model, run_train, run_unlearn
from cu_core.types import RequestKind
from cu_core.workspace import Workspace
from pipelines.run.plan import make_plan
from tests.conftest import knows, small, small_clip

PAIRS = {name: method for name, method in METHODS.items() if "image-text" in method.models}
CASES = [(name, kind) for name, method in PAIRS.items() for kind in method.kinds]
REQUESTS: dict[str, dict[str, object]] = {
    "class": {"kind": "by_concept", "concept": "5"},
    "sample": {"kind": "by_random", "count": 60, "seed": 3},
}
STEPS = 4


def config_of(place: tuple[Path, Path, Path], kind: str, **parts: object) -> RunConfig:
    return small_clip(*place, **{"request": REQUESTS[kind], **parts})


@pytest.fixture(scope="module")
def place(captions: Path, storage: Path, clip_file: Path) -> tuple[Path, Path, Path]:
    return captions, storage, clip_file


@pytest.fixture(scope="module")
def original(place: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "original"
    run_train(Workspace(config_of(place, "class")), folder, Hooks())
    return folder


def request_of(config: RunConfig, folder: Path) -> Path:
    return save_forget_set(folder / "requests", resolve_request(config.request, Workspace(config).reader, pairs=True))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_rows_are_counted_and_only_the_chosen_tower_changes(
    name: str, kind: RequestKind, place: tuple[Path, Path, Path], original: Path, tmp_path: Path
) -> None:
    batches = {"forget_batch": 10, "retain_batch": 14, "omega": 1}
    stop = {"max_steps": STEPS, "rule": "none"}
    config = config_of(place, kind, method={"name": name}, batches=batches, stop=stop)
    request = request_of(config, tmp_path)
    result = run_unlearn(Workspace(config, request), original, tmp_path / "out", Hooks())
    split = Workspace(config, request).split
    forwarded = result.forget_rows + result.retain_rows + result.frozen_rows
    assert split.forget.kind == kind
    assert forwarded == pytest.approx(config.method.rows_per_step(10, 14) * STEPS)
    assert result.prepare_rows == config.method.rows_to_prepare(len(split.forget.rows), split.num_retain, 1)
    before, after = (load_file(folder / "model.safetensors") for folder in (original, tmp_path / "out"))
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert moved
    assert all("visual" in n for n in moved)


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_every_metric_is_computed_finite_and_in_range(
    kind: RequestKind, place: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    more = [name for name, audit in AUDITS.items() if audit.on_request and kind in audit.kinds]
    given = {"other_data": [str(place[0])], "paraphrases": ["number 5"] if kind == "class" else [], "more_audits": more}
    config = config_of(place, kind, audit={"oracles": 1, "rebound_steps": 3, "relearn_steps": 2, **given})
    reader = Workspace(config).reader
    split = Workspace(config, request_of(config, tmp_path)).split
    subjects = [Subject(fresh_model(config, reader, seed), split, config.audit, 0) for seed in (0, 1)]
    answers = [answers_of(subject) for subject in subjects]
    found = audit_alone(subjects[0]).metrics
    results = {**found, **audit_against(kind, config.audit, answers[0], answers[1:], knows(answers[0]))}
    # Of 40 rows, half are reported; a pair has one caption; a digit is no word of four letters.
    # Test images share the captions of a sample request; ten classes have no rank from 21 on, and no caption names two.
    few = {"relearn_50", "relearn_50_steps", "wording_synonym", "caption_occurrence", "caption_occurrence_max"}
    if kind == "class":
        few = {"wording_misspelling", "near_accuracy_100", "near_accuracy_rest"}
        few |= {"composition_found", "composition_forgotten_found"}
    asked = ("languages", "unseen_style")  # by settings that name columns
    others = {
        n for n, m in METRICS.items() if AUDITS[m.audit].classifiers_only or AUDITS[m.audit].encoders_only
        or m.audit in asked
    }  # fmt: skip
    assert set(results) == set(metrics_of(kind, config.audit)) - few - others
    assert all(np.isfinite(METRICS[name].points(result)) and result.count > 0 for name, result in results.items())


def test_a_method_for_other_models_and_settings_without_effect_are_refused(
    place: tuple[Path, Path, Path], digits: Path
) -> None:
    with pytest.raises(ConfigError, match="method.name=ssd cannot change an image-text model; these can: contrastive"):
        config_of(place, "class", method={"name": "ssd"})
    with pytest.raises(ConfigError, match="method.name=null_space needs an image-text model"):
        small(digits, place[1], method={"name": "null_space"})
    with pytest.raises(ConfigError, match="are for image-text models"):
        small(digits, place[1], trainable={"towers": "both"})


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs without classes: 240 pictures of noise, each with a caption of its own."""
    place, rng = tmp_path_factory.mktemp("bare"), np.random.default_rng(0)
    words = ["red", "blue", "old", "new", "big", "wet", "hot", "odd"]
    for split, count in (("train", 140), ("val", 60), ("test", 40)):
        rows = []
        for number in range(count):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(buffer, "PNG")
            text = f"{words[number % 8]} {words[number // 8 % 8]} thing {number}"
            rows.append(
                {
                    "sample_id": 1000 * ("train", "val", "test").index(split) + number,
                    "image": buffer.getvalue(),
                    "caption": text,
                }
            )
        pq.write_table(pa.Table.from_pylist(rows), place / f"{split}.parquet")
    out = tmp_path_factory.mktemp("data") / "bare"
    pack(f"parquet:{place}", out, SplitPlan(), SourceOptions(), lambda done, total: None)
    return out


def test_pairs_without_classes_are_unlearned_and_judged_by_what_they_have(
    bare: Path, storage: Path, clip_file: Path, tmp_path: Path
) -> None:
    parts = {"model": {"name": f"open_clip:{clip_file}", "image_size": 16}}
    request = {"kind": "by_random", "count": 50}
    stop = {"max_steps": 4, "check_every": 2, "utility_points": 100}
    config = small_clip(bare, storage, clip_file, **parts, request=request, stop=stop)
    file = request_of(config, tmp_path)
    run_train(Workspace(config), tmp_path / "original", Hooks())
    result = run_unlearn(Workspace(config, file), tmp_path / "original", tmp_path / "unlearned", Hooks())
    assert result.stop["rows"] > 0
    split = Workspace(config, file).split
    subject = Subject(load_model(config, split.reader, tmp_path / "unlearned"), split, config.audit, 0)
    found = audit_alone(subject).metrics
    assert {"mia_cosine_auc", "forget_t2i_precision", "relearn_5", "rebound_accuracy"} <= set(found)
    assert not {"forget_accuracy", "mia_auc", "probe_accuracy"} & set(found)
    assert (
        audit_against("sample", config.audit, *[answers_of(subject), [answers_of(subject)], answers_of(subject)]) == {}
    )
    assert found["forget_t2i_precision"].value == found["forget_t2i_r1"].value  # a caption has one image

    def plan(**more: object) -> None:
        make_plan(small_clip(bare, storage, clip_file, **{**parts, "request": request, "stop": stop, **more}))

    with pytest.raises(ConfigError, match="method.name=contrastive needs classes"):
        plan(method={"name": "contrastive"})
    concept = {"kind": "by_concept", "concept": "red"}
    with pytest.raises(ConfigError, match="set stop.rule=none"):
        plan(request=concept)
    with pytest.raises(ConfigError, match="turned out to be one of sample rows: method.name=null_space cannot forget"):
        plan(request=concept, method={"name": "null_space"}, stop={"rule": "none"})
    with pytest.raises(ConfigError, match="contrastive changes the image tower only"):
        plan(method={"name": "contrastive"}, trainable={"towers": "both"})


def test_a_concept_of_a_classifier_stays_a_sample_request(captions: Path, storage: Path) -> None:
    plan = make_plan(small(captions, storage, request=REQUESTS["class"]))
    assert plan.forget.kind == "sample"
    assert plan.config.asked == "sample"
