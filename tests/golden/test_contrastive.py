from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cu_core.methods.contrastive import Contrastive
from cu_core.methods.forests import forest_shares
from cu_core.presets import PRESETS
from tests.golden.plain_contrastive import equation_5, mean_cosine, scores_of, spread, through_scores
from tests.golden.plain_losses import Array, cross_entropy, soft_cross_entropy, softmax, through_unit, unit_rows
from tests.golden.tiny_model import (
    CLASSES,
    SEEDS,
    Answers,
    Case,
    Upstream,
    check,
    check_rounded,
    round_to_bfloat16,
    run,
    same,
)
from tests.golden.tiny_split import preparation

ORIGINAL = 1
SMALL = {"lambda_ul": 0.7, "lambda_ce": 1.3, "temperature": 0.6}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dataclass, samples": ("sample", {}),
    "dataclass, class": ("class", {}),
    "default, class": ("class", PRESETS["default", "class"]["method"]),
    "default, samples": ("sample", PRESETS["default", "sample"]["method"]),
    "paper, class": ("class", PRESETS["paper", "class"]["method"]),
    "paper, samples": ("sample", PRESETS["paper", "sample"]["method"]),
    "weights": ("sample", {**SMALL, "detach_retain": False}),
    "detached": ("sample", {**SMALL, "detach_retain": True}),
    "pull": ("sample", {**SMALL, "terms": "pull", "detach_retain": False}),
    "push": ("sample", {**SMALL, "terms": "push", "detach_retain": False}),
    "hidden": ("sample", {**SMALL, "feature": "hidden", "detach_retain": False}),
    "tilted": ("sample", {**SMALL, "pull_weights": "tilted", "detach_retain": False, "lambda_prototype": 1.7}),
    "softmax": ("sample", {**SMALL, "pull_weights": "tilted", "pull_form": "softmax", "detach_retain": False}),
    "uniform softmax": ("sample", {**SMALL, "pull_form": "softmax", "detach_retain": False}),
    "excess": ("sample", {**SMALL, "pull_weights": "forests", "push_weights": "excess", "pull_form": "softmax"}),
    "cosine": ("sample", {**SMALL, "lambda_cosine": 1.9, "feature": "hidden"}),
    "both, excess": ("sample", {**SMALL, "pull_weights": "forests", "push_weights": "excess", "lambda_prototype": 0.8}),
}  # fmt: skip


def case_of(seed: int, kind: str) -> Case:
    """With what ``prepare`` of ``forests`` would have left, rows of other ids among it."""
    case, draw = Case(seed, kind), np.random.default_rng([seed, 5])  # type: ignore[arg-type]
    ids = sorted([*case.batch.forget.sample_ids.tolist(), 1, 41, 9999])
    shares = draw.dirichlet(np.ones(CLASSES), size=len(ids))
    state = {"ids": torch.tensor(ids), "shares": shares, "excess": draw.uniform(size=len(ids)), "cosine": 0.37}
    case.state.update({n: torch.as_tensor(v) for n, v in state.items()})
    return case


def looked_up(case: Case, name: str) -> Array:
    ids = case.state["ids"].tolist()
    return np.stack([case.state[name][ids.index(i)].numpy() for i in case.batch.forget.sample_ids.tolist()])


def masked(label: int, case: Case) -> set[int]:
    """Classes that ``tilted`` takes out of the original's answer to an anchor of this class: it and all forgotten."""
    return {label, *case.forget_classes}


def shares_of(method: Contrastive, case: Case) -> Array | None:
    if method.pull_weights == "uniform":
        return None
    if method.pull_weights != "tilted":
        return looked_up(case, "shares")
    out = np.zeros((len(case.batch.forget), CLASSES))
    for i, (label, logits) in enumerate(zip(case.labels("forget"), case.seen("forget", ORIGINAL).logits, strict=True)):
        left = [c for c in range(CLASSES) if c not in masked(label, case)]
        out[i, left] = softmax([logits[c] for c in left])
    return out


def equation_7(method: Contrastive, case: Case, forget: Answers, retain: Answers) -> tuple[dict[str, float], Upstream]:
    """All terms and the gradients."""
    labels, count = case.labels("forget"), len(case.batch.forget)
    anchors, keys = getattr(forget, method.feature), getattr(retain, method.feature)
    key_labels = case.labels("retain")
    shares, ones = shares_of(method, case), [1.0] * count
    excess = ones if method.push_weights == "uniform" else looked_up(case, "excess").tolist()
    parts = equation_5(
        scores_of(anchors, keys, method.temperature), labels, key_labels,
        None if shares is None else spread(shares, key_labels), excess,
        method.pull_weights == "forests", method.pull_form == "softmax",
    )  # fmt: skip
    pulls, pushes = method.terms in ("both", "pull"), method.terms in ("both", "push")
    d_scores = method.lambda_ul / count * (pulls * parts.d_pull + pushes * parts.d_push)
    d_anchors, d_keys = through_scores(d_scores, anchors, keys, method.temperature)
    entropy, d_entropy = cross_entropy(retain.logits, case.labels("retain"))
    cosine, d_cosine = mean_cosine(unit_rows(anchors))
    prototype, d_prototype = (0.0, 0.0) if shares is None else soft_cross_entropy(forget.logits, shares)
    unlearn = (pulls * parts.pull + pushes * parts.push) / count
    terms = {"pull_loss": parts.pull / count, "push_loss": parts.push / count, "retain_loss": entropy}
    terms["loss"] = method.lambda_ul * unlearn + method.lambda_ce * entropy
    terms |= {"loss": terms["loss"] + method.lambda_prototype * prototype, "unlearn_loss": unlearn}
    terms |= {"prototype_loss": prototype} if method.lambda_prototype else {}
    off = cosine - float(case.state.get("cosine", 0.0))
    terms |= (
        {"cosine_loss": off**2, "loss": terms["loss"] + method.lambda_cosine * off**2} if method.lambda_cosine else {}
    )
    terms |= {"frac_without_same_class": parts.without_same / count} if case.kind == "sample" else {}
    d_anchors = d_anchors + 2 * method.lambda_cosine * off * through_unit(anchors, d_cosine)
    of_forget = {method.feature: d_anchors, "logits": method.lambda_prototype * d_prototype + 0 * forget.logits}
    of_retain = {
        method.feature: d_keys * (not method.detach_retain),
        "logits": method.lambda_ce * d_entropy,
    }
    return terms, {"forget": of_forget, "retain": of_retain}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_loss_terms_and_gradients(seed: int, name: str) -> None:
    kind, settings = VARIANTS[name]
    case, method = case_of(seed, kind), Contrastive(**settings)
    method.check(case.kind)
    terms, upstream = equation_7(method, case, case.seen("forget"), case.seen("retain"))
    losses = check(method, case, terms["loss"], upstream)
    assert {n: t.item() for n, t in losses.terms.items()} == pytest.approx(terms, rel=1e-10, abs=1e-12)


def test_the_cases_tell_the_variants_apart() -> None:
    """An anchor without positives, keys of the anchors' classes and others; detaching and weights change gradients."""
    case = case_of(0, "sample")
    found = [run(Contrastive(**VARIANTS[n][1]), case)[1] for n in ("dataclass, samples", "paper, samples", "detached")]
    assert all(
        abs(a["body.embed.bias"] - b["body.embed.bias"]).max() > 1e-3 for a, b in zip(found, found[1:], strict=False)
    )
    losses, _ = run(Contrastive(), case)
    assert losses.terms["frac_without_same_class"].item() == pytest.approx(1 / 7)


@pytest.mark.parametrize("name", ["dataclass, samples", "default, class", "default, samples", "paper, samples"])
def test_half_precision_answers_are_raised_before_the_loss(name: str) -> None:
    kind, settings = VARIANTS[name]
    case, method = case_of(3, kind), Contrastive(**settings)
    forget, retain = (round_to_bfloat16(case.seen(part)) for part in ("forget", "retain"))
    if method.pull_weights == "uniform":
        check_rounded(method, case, equation_7(method, case, forget, retain)[0]["loss"])
        return
    total = method.losses(case.context(rounded=True), case.batch).total
    assert total.item() == pytest.approx(equation_7(method, case, forget, retain)[0]["loss"], rel=2e-6)


def test_prepare_looks_up_the_target_if_it_is_used() -> None:
    case = Case(2)
    assert (Contrastive().prepare(preparation(case)), case.state) == (0, {})
    rows = Contrastive(pull_weights="forests", bank=9).prepare(preparation(case))
    wanted = forest_shares(preparation(case), 9)
    assert rows == wanted.rows == 7 + 9
    named = {"ids": wanted.sample_ids, "shares": wanted.shares, "excess": wanted.excess}
    assert case.state.keys() == named.keys()
    assert all(torch.equal(case.state[n], value) for n, value in named.items())


@pytest.mark.parametrize("seed", range(4))  # rows are drawn: all of these few, each once
@pytest.mark.parametrize("feature", ["embedding", "hidden"])
def test_prepare_measures_how_tight_the_forget_rows_lie(feature: str, seed: int) -> None:
    """1 - cosine is 12% larger in models that never learned the rows."""
    case, method = Case(2), Contrastive(lambda_cosine=1.0, feature=feature)  # type: ignore[arg-type]
    prep = replace(preparation(case), seed=seed)
    assert method.prepare(prep) == method.rows_to_prepare(7, 11, 0) == 7
    images = torch.cat([batch.images for batch in prep.batches(prep.split.forget.rows)])
    out = prep.model(images)
    unit = unit_rows(getattr(out, feature).detach().numpy())
    pairs = [unit[i] @ unit[j] for i in range(7) for j in range(7) if i != j]
    assert float(case.state["cosine"]) == pytest.approx(1 - 1.12 * (1 - np.mean(pairs)), rel=1e-6)


def test_the_models_gradients_are_not_edited() -> None:
    case = case_of(0, "sample")
    _, found = run(Contrastive(), case)
    Contrastive().edit_gradients(case.context())
    same({n: p.grad.numpy() for n, p in case.models[0].named_parameters() if p.grad is not None}, found)
