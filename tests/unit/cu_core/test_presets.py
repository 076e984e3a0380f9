"""What a preset sets for each method; the comment on METHOD_LR says of every rate what the search behind it said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cu_core import presets
from cu_core.config_io import load_config
from cu_core.methods.table import METHODS
from cu_core.presets import METHOD_LR, OTHERS, PRESETS, preset_for
from cu_core.types import RequestKind

TRIED: dict[RequestKind, dict[str, tuple[float, ...]]] = {
    "class": {
        "finetune": (0.1, 0.03, 0.01),
        "retrain": (0.1, 0.05, 0.02),
        "gradient_ascent": (0.0001, 0.0003, 0.001),
        "neggrad_plus": (0.01, 0.03, 0.1),
        "random_label": (0.01, 0.003, 0.03),
        "salun": (0.01, 0.003, 0.03),
        "scrub": (0.001, 0.003, 0.0003),
        "bad_teacher": (0.003, 0.01, 0.03),
        "boundary_shrink": (0.003, 0.001, 0.0003),
        "boundary_expanding": (0.0003, 0.001, 0.003),
        "unsir": (0.03, 0.1, 0.3),
        "fanchuan": (0.03, 0.1, 0.01),
    },
    "sample": {
        "finetune": (0.1, 0.03, 0.01),
        "gradient_ascent": (0.001, 0.0003, 0.0001),
        "neggrad_plus": (0.1, 0.03, 0.01),
        "random_label": (0.0001, 0.0003, 0.001),
        "salun": (0.0001, 0.0003, 0.001),
        "scrub": (0.003, 0.001, 0.01),
        "bad_teacher": (0.0003, 0.003, 0.001),
        "boundary_shrink": (0.0001, 3e-05, 0.0003),
        "fanchuan": (0.03, 0.01, 0.003),
    },
}
"""Rates of the former three-value searches on Fashion-MNIST, best first."""


@pytest.mark.parametrize("kind", ["class", "sample"])
def test_rates_that_no_search_found_are_marked(kind: RequestKind) -> None:
    source = Path(presets.__file__).read_text()
    part = source[source.index(f'    "{kind}": {{') :]
    for name, rate in presets.METHOD_LR[kind].items():
        comment = re.search(rf'"{name}": [\d.e-]+,(?:  # (.*))?', part)
        assert comment is not None
        said, tried = comment[1] or "", TRIED[kind].get(name, ())
        if not tried or tried[0] != rate:
            assert said.startswith("not found"), name
        else:
            assert said == ("edge" if rate in (min(tried), max(tried)) else ""), name


KINDS: tuple[RequestKind, ...] = ("class", "sample")


def test_every_rate_is_of_a_method_that_can_answer_the_request() -> None:
    for kind in KINDS:
        assert METHOD_LR[kind].keys() <= METHODS.keys()
        assert "contrastive" not in METHOD_LR[kind]  # its rate is that of the preset


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_other_methods_have_their_own_rate_and_length(kind: RequestKind) -> None:
    found = preset_for("default", kind, "scrub")
    assert found["optimizer"] == {**PRESETS["default", kind]["optimizer"], "lr": METHOD_LR[kind]["scrub"]}
    assert (found["batches"], found["stop"]) == (OTHERS[kind]["batches"], OTHERS[kind]["stop"])
    assert found["stop"]["rule"] == "paper"


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_method_without_a_rate_keeps_that_of_the_preset(preset: str) -> None:
    assert "unsir" not in METHOD_LR["sample"]
    assert preset_for(preset, "sample", "unsir")["optimizer"] == PRESETS[preset, "sample"]["optimizer"]  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS)
def test_by_the_paper_other_methods_run_as_long_as_the_papers(kind: RequestKind) -> None:
    found = preset_for("paper", kind, "scrub")
    assert found["stop"] == {**PRESETS["paper", kind]["stop"], "rule": "paper"}
    assert found["batches"] == {**PRESETS["paper", kind]["batches"], "omega": 1}


def test_an_unknown_preset_sets_nothing_of_its_own() -> None:
    assert preset_for("other", "class", "contrastive") == {}
    assert preset_for("other", "class", "ssd") == {"optimizer": {}, "batches": {"omega": 1}, "stop": {"rule": "paper"}}


def test_image_text_models_have_settings_for_any_method_and_preset() -> None:
    concept = preset_for("default", "class", "contrastive_clip", pairs=True)
    assert concept == preset_for("paper", "class", "finetune", pairs=True)
    assert (concept["optimizer"]["name"], concept["batches"]["retain_batch"]) == ("adamw", 64)
    assert "method" not in concept
    pairs = preset_for("default", "sample", "contrastive_clip", pairs=True)
    assert (pairs["batches"]["retain_batch"], pairs["method"]["lambda_drift"]) == (128, 6.0)
    assert pairs["audit"] == concept["audit"]
    other = preset_for("default", "sample", "finetune", pairs=True)
    assert (other["batches"]["retain_batch"], other["stop"]["max_steps"]) == (64, 60)
    assert "method" not in other


def test_what_a_caller_changes_is_not_changed_for_others() -> None:
    for method, pairs in (("scrub", False), ("finetune", True), ("contrastive_clip", True)):
        before = preset_for("default", "sample", method, pairs)
        preset_for("default", "sample", method, pairs)["stop"] = None
        assert preset_for("default", "sample", method, pairs) == before


@pytest.mark.parametrize("kind", KINDS)
def test_models_with_layer_norm_have_an_optimizer_of_their_own_by_default(kind: RequestKind) -> None:
    adamw = {"name": "adamw", "lr": 3e-4, "schedule": "cosine", "clip_norm": 1.0}
    for method in ("contrastive", "scrub"):
        found, usual = preset_for("default", kind, method, layer_norm=True), preset_for("default", kind, method)
        assert found == {**usual, "optimizer": adamw}
        assert usual["optimizer"]["name"] == "sgd"
    assert preset_for("paper", kind, "contrastive", layer_norm=True) == preset_for("paper", kind, "contrastive")


def test_a_model_is_known_by_its_name_and_its_optimizer_can_be_set() -> None:
    vit = load_config(None, ["model.name=vit_mini", "request.kind=by_class"])
    assert (vit.optimizer.name, vit.optimizer.lr, vit.optimizer.clip_norm) == ("adamw", 3e-4, 1.0)
    own = load_config(None, ["model.name=vit_mini", "optimizer={name: sgd, lr: 0.01}"])
    assert (own.optimizer.name, own.optimizer.lr) == ("sgd", 0.01)
    assert load_config(None, ["model.name=resnet10"]).optimizer.name == "sgd"
