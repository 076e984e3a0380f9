from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cu_core.audit.strong import TARGETS, Margins
from cu_core.config_io import as_plain, config_from
from cu_core.errors import ConfigError
from cu_core.yaml_io import overridden
from pipelines.audits import pools
from pipelines.audits.pools import Member, announce, pool_a, pool_b, run_members, target_rows, trained_on
from pipelines.run.plan import Plan, make_plan
from tests.conftest import small


@pytest.fixture
def base(digits: Path, tmp_path: Path) -> Plan:
    return make_plan(small(digits, tmp_path, seed=4, audit={"oracles": 3}))


def test_margins_are_found_by_what_they_depend_on(digits: Path, tmp_path: Path) -> None:
    config = small(digits, tmp_path)

    def margins(*overrides: str) -> Path:
        plan = make_plan(config_from(overridden(as_plain(config), overrides)))
        return Member("", plan, plan).margins_file("unlearned")

    base = margins()
    assert margins("workers.cpus=2") == base
    for setting in ("seed=1", "audit.max_rows=20", "method.lambda_ce=3", "request.classes=[4]"):
        assert margins(setting) != base, setting


def test_pool_a_is_the_same_request_under_seeds_from_that_of_the_run(base: Plan) -> None:
    members = pool_a(base, 3)
    assert [(m.label, m.plan.config.seed) for m in members] == [("seed 4", 4), ("seed 5", 5), ("seed 6", 6)]
    for member in members:
        assert member.plan.forget.digest == base.forget.digest
        assert list(member.models) == ["original", "unlearned", "oracle"]
        assert len(member.plan.oracles) == 1
    assert len({m.folder for m in members}) == len({m.plan.original.folder for m in members}) == 3


def test_pool_b_forgets_the_target_rows_that_each_half_holds(base: Plan) -> None:
    members = pool_b(base, 2)
    assert [(m.label, m.plan.config.data.half, m.plan.config.seed) for m in members] == [
        ("half 0", 0, 4),
        ("half 1", 1, 5),
    ]
    for member in members:
        reader, forget = member.plan.reader, member.plan.forget
        ids = reader.sample_ids("train", np.arange(reader.num_rows("train")))
        assert sorted(forget.sample_ids) == sorted({*ids} & {*base.forget.sample_ids})
        assert reader.sample_ids("train", forget.rows).tolist() == forget.sample_ids.tolist()
        assert list(member.models) == ["original", "unlearned"]
    mask = trained_on(members)
    targets = base.reader.sample_ids("train", target_rows(base).rows)
    assert mask.tolist() == [[i in {*m.plan.forget.sample_ids} for i in targets] for m in members]
    assert 0 < mask.sum() < mask.size


def test_targets_are_rows_of_the_request_of_a_limited_number(base: Plan) -> None:
    rows = np.arange(3 * TARGETS)
    assert target_rows(base).rows.tolist() == base.forget.rows[: TARGETS + 1].tolist()
    many = target_rows(replace(base, forget=replace(base.forget, rows=rows))).rows
    assert (len(many), many[0], many[-1]) == (TARGETS, rows[0], rows[-1])


def test_a_member_is_done_when_the_margins_of_all_its_models_are_there(
    base: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    (member,) = pool_a(base, 1)
    assert member.missing == [member.plan.original, *member.plan.oracles]
    kept = Margins(np.arange(3.0), np.arange(2.0), np.array(0.5), np.array(0.25))
    for role in member.models:
        assert not member.done
        kept.save(member.margins_file(role))
    assert (member.done, member.missing) == (True, [])
    assert member.margins("oracle").target.tolist() == [0, 1, 2]
    run_members([member, member])  # no Ray is started
    assert "2 members of the pools found, none to make" in capsys.readouterr().err


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The cluster; a process of 1 GiB that grows by 0.5 GiB, and 100 rows a second."""
    cluster = {"CPU": 8.0, "GPU": 0.0, "memory": 5.0 * 2**30}
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=2**30))
    monkeypatch.setattr(pools.psutil, "Process", lambda: process)
    monkeypatch.setattr(pools, "rows_per_second", lambda plan, rows: (100.0, 2**29))
    monkeypatch.setattr(pools, "resources", lambda: cluster)
    monkeypatch.setenv("COLUMNS", "300")
    return cluster


def test_the_work_is_told_before_it_starts(
    base: Plan, measured: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    (whole,), (half,) = pool_a(base, 1), pool_b(base, 1)
    jobs = [(whole.plan.workspace, whole.plan.original), (half.plan.workspace, half.plan.original)]
    assert announce([whole, half, half], [whole, half], jobs) == 2 * 2**30
    config = base.config
    # A whole training and half a one, and two unlearnings of max_steps; memory holds two models at a time.
    rows = 1.5 * config.train.epochs * base.manifest.num_rows("train")
    rows += 2 * config.stop.max_steps * (config.batches.forget_batch + config.batches.retain_batch)
    said = capsys.readouterr().err
    assert "3 members: 1 found, 2 to make; 2 models to train; 2 at a time" in said
    assert f"about {rows / 100 / 2 / 60:.0f} min and 4.0 GiB in all" in said


def test_a_cluster_without_room_for_one_model_is_refused(base: Plan, measured: dict[str, float]) -> None:
    members = pool_a(base, 1)
    measured["memory"] = 2 * 2**30 - 1.0
    with pytest.raises(ConfigError, match=r"one model needs about 2\.0 GiB, but the cluster reserves 2\.0 GiB"):
        announce(members, members, [])


def test_a_training_that_was_done_tells_how_long_one_takes(base: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,), (half,) = pool_a(base, 1), pool_b(base, 1)
    seconds = {"result": {"seconds": 12.0}}
    monkeypatch.setattr(pools, "read_meta", lambda folder, verify: seconds)
    assert pools._training_seconds([whole], 7.0) == 7.0
    for member in (half, whole):
        assert pools._training_seconds([half, whole], 7.0) == 7.0  # half of the rows say nothing of all
        member.plan.original.folder.mkdir(parents=True)
        (member.plan.original.folder / "meta.json").touch()
    assert pools._training_seconds([half, whole], 7.0) == 12.0
    seconds["result"]["seconds"] = 0.0  # weights that were brought along
    assert pools._training_seconds([half, whole], 7.0) == 7.0
