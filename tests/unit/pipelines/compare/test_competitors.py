from __future__ import annotations

import re
from typing import Any

import pytest

from cu_core.errors import UserError
from pipelines.compare.competitors import CONTROLS, Competitor, SearchConfig, check_label, repeated

RATE = {"optimizer.lr": {"uniform": [0.1, 1.0]}}
REQUESTS = ({"classes": [7]},)


@pytest.mark.parametrize("label", ["scrub", "our own-1.5_b", "é"])
def test_labels_of_letters_digits_and_some_signs_are_taken(label: str) -> None:
    check_label("methods", label)


@pytest.mark.parametrize("label", ["", "a,b", "a/b", "a:b", "a\nb", "a\n"])
def test_other_labels_are_refused(label: str) -> None:
    with pytest.raises(UserError, match=r"^here: a label is made of letters, digits, spaces"):
        check_label("here", label)


@pytest.mark.parametrize(
    ("label", "entry"),
    [
        ("scrub", {}),
        ("scrub", {"set": {"method": {"name": "scrub", "alpha": 1.0}}}),
        ("own", {"set": {"method": {"name": "scrub"}}}),
        ("own", {"set": {"preset": "paper"}}),
        ("scrub", {"search": {**RATE, "steps_frac": {"uniform": [0.1, 1.0]}}}),
        ("scrub", {"set": {"stop": {"rule": "none"}}}),
        ("scrub", {"published": True, "budget_rows": 1}),
    ],
)
def test_entries_that_name_a_method_are_taken(label: str, entry: dict[str, Any]) -> None:
    Competitor(**entry).check(label)


@pytest.mark.parametrize(
    ("label", "entry", "message"),
    [
        *((control, {}, f"methods.{control}: the name of a control") for control in CONTROLS),
        ("scrub", {"set": {"method": "salun"}}, "methods.scrub.set.method: must hold keys and values"),
        ("scrub", {"set": {"method": {"name": "salun"}}}, "methods.scrub: set.method.name is salun; give the entry"),
        ("scrubb", {}, "methods.scrubb: no method of that name; did you mean scrub?"),
        ("zzzz", {"set": {"optimizer": {}}}, "methods.zzzz: no method of that name; `cu methods`"),
        ("scrub", {"set": {"train": {}}}, "methods.scrub.set.train: a method may set"),
        ("scrub", {"set": {"steps_frac": 0.5}}, "methods.scrub.set.steps_frac: a method may set"),
        ("scrub", {"search": {"train.epochs": RATE}}, "methods.scrub.search.train.epochs: a method may set"),
        ("scrub", {"set": {"stop": {"max_steps": 9}}}, "stop.max_steps follows from budget_rows"),
        ("scrub", {"search": {"stop.rule": {"choice": ["none"]}}}, "when to stop is the same choice for all methods"),
        (
            "scrub",
            {"search": {"optimizer.lr": {"normal": [0, 1]}}},
            "methods.scrub.search.optimizer.lr: must be one of",
        ),
        ("scrub", {"published": True, "search": RATE}, "a published entry takes no search and no expect"),
        ("scrub", {"published": True, "expect": ("indistinguishable",)}, "takes no search and no expect"),
        ("scrub", {"budget_rows": 9}, "only published settings have rows of their own"),
        ("scrub", {"budget_rows": 0, "published": True}, "rows of their own, at least 1"),
    ],
)
def test_other_entries_are_refused(label: str, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Competitor(**entry).check(label)


def test_four_settings_are_searched_and_five_are_not() -> None:
    names = ["optimizer.lr", "optimizer.momentum", "method.alpha", "method.gamma", "steps_frac"]
    Competitor(search=dict.fromkeys(names[:4], RATE["optimizer.lr"])).check("scrub")
    with pytest.raises(UserError, match=r"methods.scrub.search: at most 4 settings, got 5"):
        Competitor(search=dict.fromkeys(names, RATE["optimizer.lr"])).check("scrub")


def test_the_method_of_an_entry_is_named_or_is_its_label_or_ours() -> None:
    named = Competitor(set={"method": {"name": "scrub"}})
    assert named.method("own") == "scrub"
    assert Competitor().method("salun") == "salun"
    assert Competitor(set={"preset": "paper"}).method("own") == "contrastive"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"trials": 0}, "at least one trial, one seed and one request"),
        ({"seeds": ()}, "at least one trial, one seed and one request"),
        ({"requests": ()}, "at least one trial, one seed and one request"),
        ({"seeds": (1, 2, 1)}, "tuning: seeds, and requests, must differ"),
        ({"requests": (*REQUESTS, {"classes": [1]}, *REQUESTS)}, "tuning: seeds, and requests, must differ"),
        ({"at_once": 0}, "at_once and more_trials at least 1"),
        ({"more_trials": 0}, "at_once and more_trials at least 1"),
        ({"widenings": -1}, "widenings not negative"),
        ({"widen": 1.0}, "widen more than 1"),
        ({"search": RATE}, "tuning.search.optimizer.lr: what all share is steps_frac and when to stop"),
        ({"search": {"stop.max_steps": {"choice": [9]}}}, "tuning.search.stop.max_steps: follows from budget_rows"),
        ({"search": {"steps_frac": {"choice": [0.5, True]}}}, "tuning.search.steps_frac: must be numbers in (0, 1]"),
        ({"search": {"steps_frac": {"choice": ["all"]}}}, "tuning.search.steps_frac: must be numbers in (0, 1]"),
        ({"search": {"stop.rule": {"choices": ["none"]}}}, "tuning.search.stop.rule: must be one of"),
    ],
)
def test_searches_that_cannot_be_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        SearchConfig(**{"trials": 2, "requests": REQUESTS, **more})


def test_a_search_may_widen_no_range_and_share_the_rule() -> None:
    stop = {"stop": {"choice": [{"rule": "none"}]}, "steps_frac": {"choice": [0.5, 1]}}
    made = SearchConfig(trials=1, requests=REQUESTS, widenings=0, at_once=1, more_trials=1, search=stop)
    assert (made.seeds, made.widen) == ((9,), 1.5)


def test_a_request_is_repeated_if_it_is_equal_to_an_earlier_one() -> None:
    assert not repeated([])
    assert not repeated([{"classes": [1]}, {"classes": [2]}])
    assert repeated([{"classes": [1]}, {"classes": [2]}, {"classes": [1]}])
