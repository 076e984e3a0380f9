"""Settings, and simple cases in which a term is known; tests/golden has all terms and gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cu_core.errors import UserError
from cu_core.methods.contrastive_clip import BANK, ContrastiveClip
from cu_core.types import UnlearnBatch
from tests.golden.tiny_clip import ClipCase
from tests.golden.tiny_clip_split import pairs_preparation

WEIGHTS = ("lambda_push", "lambda_pull", "lambda_dispersion", "lambda_retain", "lambda_drift")


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"uniform_pull": -0.1}, {"uniform_pull": 1.1}], ids=str)
def test_settings_outside_their_range(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"temperature must be positive, uniform_pull in \[0, 1\]"):
        ContrastiveClip(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WEIGHTS)
def test_no_weight_is_negative_and_each_may_be_zero(name: str) -> None:
    ContrastiveClip(**{name: 0.0})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="must not be negative"):
        ContrastiveClip(**{name: -0.1})  # type: ignore[arg-type]


def test_uniform_pull_may_be_all_or_nothing() -> None:
    assert [ContrastiveClip(uniform_pull=share).uniform_pull for share in (0, 1)] == [0, 1]


def test_rows_count_for_the_model_and_for_the_original() -> None:
    method = ContrastiveClip()
    assert method.rows_per_step(3, 5) == 16
    assert [method.rows_to_prepare(9, retain, 1) for retain in (BANK - 1, BANK + 1)] == [BANK - 1, BANK]
    assert "frozen original" in method.needs()
    assert (method.models, method.needs_classes) == (("image-text",), False)


def one_model(kind: str = "sample") -> ClipCase:
    """The model is its own original."""
    case = ClipCase(0, kind, False)  # type: ignore[arg-type]
    return case.at(given=(case.model(), case.model(), case.batch))


def test_the_original_has_not_drifted() -> None:
    losses = ContrastiveClip().losses(one_model().context(), one_model().batch)
    assert losses.terms["drift"].item() == pytest.approx(0, abs=1e-12)
    moved = ContrastiveClip().losses(ClipCase(0, "sample", False).context(), ClipCase(0, "sample", False).batch)
    assert moved.terms["drift"].item() > 0.01


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_loss_is_the_weighted_sum_of_its_terms(name: str) -> None:
    case = ClipCase(1, "class", True)
    method = replace(ContrastiveClip(), **{name: 3.0})
    terms = {n: t.item() for n, t in method.losses(case.context(), case.batch).terms.items()}
    names = ("push_loss", "pull_loss", "dispersion", "retain_loss", "drift")
    wanted = sum(getattr(method, weight) * terms[term] for weight, term in zip(WEIGHTS, names, strict=True))
    assert terms["loss"] == pytest.approx(wanted)


def test_dispersion_of_no_weight_is_not_computed() -> None:
    case = ClipCase(0, "sample", False)
    assert "dispersion" not in ContrastiveClip(lambda_dispersion=0).losses(case.context(), case.batch).terms


def test_a_uniform_pull_does_not_ask_the_original() -> None:
    pulls = []
    for share in (1.0, 0.0):
        for case in (ClipCase(0, "sample", False), one_model()):
            found = ContrastiveClip(uniform_pull=share).losses(case.context(), case.batch)
            pulls.append(found.terms["pull_loss"].item())
    assert pulls[0] == pytest.approx(pulls[1], rel=1e-12)
    assert pulls[2] != pytest.approx(pulls[3], rel=1e-3)


def test_a_push_of_the_floor_alone_is_its_value() -> None:
    """Nothing lies above a floor of 1: log(sum of exp(1 / tau)) over the captions that push, 2 and 1 of them."""
    case = ClipCase(0, "sample", False, bounds=(1.0, 1.0))
    captions = case.captions["forget"] + case.captions["retain"]
    counts = torch.tensor([captions.count(caption) for caption in case.captions["forget"]], dtype=torch.float64)
    found = ContrastiveClip(temperature=0.5).losses(case.context(), case.batch).terms["push_loss"]
    assert found.item() == pytest.approx((2 + counts.log()).mean().item())


def test_without_forget_rows_nothing_is_pushed_or_pulled() -> None:
    case = ClipCase(0, "sample", False)
    forget = case.batch.forget
    assert forget.tokens is not None
    none = replace(forget, images=forget.images[:0], labels=forget.labels[:0], sample_ids=forget.sample_ids[:0],
                   tokens=forget.tokens[:0])  # fmt: skip
    losses = ContrastiveClip().losses(case.context(), UnlearnBatch(none, case.batch.retain))
    terms = {name: losses.terms[name].item() for name in ("push_loss", "pull_loss", "dispersion")}
    assert terms == {"push_loss": 0, "pull_loss": 0, "dispersion": 0}
    assert losses.terms["retain_loss"].item() > 0


def test_where_all_captions_are_equal_floor_and_ceiling_are_the_mean_cosine() -> None:
    case = ClipCase(0, "sample", False)
    forget, retain = case.batch.forget, case.batch.retain
    assert retain.tokens is not None
    retain = replace(retain, tokens=retain.tokens[:1].expand_as(retain.tokens))
    prep = pairs_preparation(case.at(given=(case.model(), case.model(1), UnlearnBatch(forget, retain))))
    assert ContrastiveClip().prepare(prep) == len(retain)
    images, texts = case.model()(retain.images).embedding, case.model().texts(retain.tokens[:1]).embedding
    wanted = (images @ texts.T).mean().item()
    assert prep.state["floor"].item() == pytest.approx(wanted)
    assert prep.state["ceiling"].item() == pytest.approx(wanted)
