from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cu_core.data.drop import drop_rows, rewriting
from cu_core.data.row_selection import select_where
from cu_core.data.schema import read_manifest
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError
from pipelines.requests import drop as module
from pipelines.requests.answer import roll_back
from pipelines.requests.asked import forget_set_of, found_set_of
from pipelines.requests.chain import batch_of
from pipelines.requests.drop import drop_requests
from pipelines.requests.intake import add_request
from pipelines.requests.ledger import Entry
from pipelines.requests.listing import show_lines
from pipelines.requests.places import Places
from pipelines.requests.purge import holders
from pipelines.requests.state import State
from tests.unit.pipelines.requests.answered import answer_all, now, opened, start
from tests.unit.pipelines.requests.conftest import Answered


def dropped(places: Places, *names: str) -> Entry:
    """Drop in place."""
    folder = Path(now(places).opened.fields["data"]["path"])
    with rewriting(folder):
        _, _, entry = drop_requests(places, names, ShardReader(folder), None)
    assert entry is not None
    return entry


def reader_of(state: State) -> ShardReader:
    return ShardReader(state.opened.fields["data"]["path"])


def test_the_rows_of_a_request_go_and_the_ledger_and_the_manifest_say_so(answered: Answered) -> None:
    before, state = read_manifest(answered.folder / "data"), now(answered.places)
    gone = found_set_of(answered.places, state, "faces-1")
    entry = dropped(answered.places, "faces-1")
    after = read_manifest(answered.folder / "data")
    assert entry.fields["rows"] == len(gone.rows) == before.num_rows("train") - after.num_rows("train")
    assert (entry.fields["parent"], entry.fields["digest"]) == (before.digest, after.digest)
    assert after.dropped[-1].requests == ("faces-1",)
    assert [after.num_rows(split) for split in ("val", "test")] == [before.num_rows(s) for s in ("val", "test")]
    reader = reader_of(state)
    assert not (reader.labels("train", np.arange(reader.num_rows("train"))) == 5).any()
    assert "were dropped on purpose in entry 8" in show_lines(now(answered.places), "faces-1")[-1]


def test_what_is_left_of_requests_is_found_under_its_new_numbers_after_several_drops(answered: Answered) -> None:
    places = answered.places
    add_request(places, {"kind": "by_predicate", "where": "sample_id < 120"})
    answer_all(places)
    dropped(places, "faces-1")
    add_request(places, {"kind": "by_predicate", "where": "sample_id >= 30 and sample_id < 90"})  # overlaps faces-2
    dropped(places, "faces-2")
    state, reader = now(places), reader_of(now(places))
    for name, left in (("faces-1", 0), ("faces-2", 0), ("faces-3", None), ("faces-4", None)):
        forget = forget_set_of(places, state, name)
        assert forget.data_digest == reader.manifest.digest == state.data
        assert reader.sample_ids("train", forget.rows).tolist() == forget.sample_ids.tolist()
        assert left is None or len(forget.rows) == left
    five_and_below = np.concatenate([found_set_of(places, state, n).sample_ids for n in ("faces-1", "faces-2")])
    for name in ("faces-3", "faces-4"):
        found = found_set_of(places, state, name).sample_ids
        assert 0 < len(forget_set_of(places, state, name).rows) < len(found)
        assert forget_set_of(places, state, name).sample_ids.tolist() == np.setdiff1d(found, five_and_below).tolist()


def test_later_requests_are_answered_with_the_data_as_they_are(answered: Answered) -> None:
    places = answered.places
    rows = now(places).versions[-1].entry.fields["rows"]
    entry = dropped(places, "faces-1")
    add_request(places, {"kind": "by_class", "classes": [6]})
    answer_all(places)
    facts = now(places).versions[-1].entry.fields
    six = len(forget_set_of(places, now(places), "faces-3").rows)
    assert facts["data"]["digest"] == entry.fields["digest"]
    assert facts["rows"] == {
        "forgotten_now": facts["rows"]["forgotten_now"],
        "forgotten_in_all": len(
            np.union1d(
                forget_set_of(places, now(places), "faces-2").rows, forget_set_of(places, now(places), "faces-3").rows
            )
        ),
        "forgotten_before": facts["rows"]["forgotten_before"],
        "training": rows["training"] - entry.fields["rows"],
        "dropped": entry.fields["rows"],
    }
    assert 0 < facts["rows"]["forgotten_now"] <= six


def test_unseen_rows_of_a_class_whose_rows_are_dropped_are_still_in_no_set(answered: Answered) -> None:
    dropped(answered.places, "faces-1", "faces-2")
    add_request(answered.places, {"kind": "by_class", "classes": [6]})
    batch = batch_of(answered.places, now(answered.places), ["faces-3"])
    assert batch is not None
    assert batch.new.before is not None
    assert (batch.new.before.classes, len(batch.new.before.rows)) == ((5,), 0)


def test_a_pending_request_whose_rows_are_all_dropped_is_answered_by_those_that_forgot_them(answered: Answered) -> None:
    add_request(answered.places, {"kind": "by_predicate", "where": "label == 6 and sample_id < 500"})
    add_request(answered.places, {"kind": "by_class", "classes": [6]})
    answer_all(answered.places, "faces-4")
    dropped(answered.places, "faces-4")
    start(answered.places, "faces-3")
    request = now(answered.places).requests["faces-3"]
    assert (request.word, request.by) == ("covered", ("faces-4",))


def test_ids_that_are_dropped_are_not_called_unknown_alone(answered: Answered) -> None:
    dropped(answered.places, "faces-1")
    with pytest.raises(ConfigError, match="class 5 .*|forgets nothing.* were dropped on purpose in entry 8") as raised:
        add_request(answered.places, {"kind": "by_class", "classes": [5]})
    assert "were dropped on purpose in entry 8" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_drop_that_was_killed_before_its_entry_is_told_and_ended(
    answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*given: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "_enter", killed)
        with pytest.raises(Killed):
            dropped(answered.places, "faces-1")
    with pytest.raises(ConfigError, match="ended before it entered that; end it with `cu data drop` and the same"):
        add_request(answered.places, {"kind": "by_class", "classes": [6]})
    with pytest.raises(ConfigError, match="end it with `cu data drop`"):
        dropped(answered.places, "faces-2")
    digest = read_manifest(answered.folder / "data").digest
    entry = dropped(answered.places, "faces-1")
    assert entry.fields["digest"] == read_manifest(answered.folder / "data").digest == digest
    assert add_request(answered.places, {"kind": "by_class", "classes": [6]}).id == "faces-3"


@pytest.mark.parametrize("where", ["label == 6", "label == 5"])
def test_a_drop_of_other_rows_in_the_name_of_a_request_is_not_entered(answered: Answered, where: str) -> None:
    """Those of another class; those of its class in every split."""
    folder = answered.folder / "data"
    with rewriting(folder):
        reader = ShardReader(folder)
        drop_rows(reader, select_where(reader, where), None, ["faces-1"])
    with pytest.raises(ConfigError, match="says that rows were dropped for faces-1, but others were"):
        dropped(answered.places, "faces-1")
    assert now(answered.places).drops == []


def test_what_is_dropped_is_not_rolled_back(answered: Answered) -> None:
    dropped(answered.places, "faces-2")
    with pytest.raises(ConfigError, match="rows of faces-2 that could not be unlearned again: .* entry 8"):
        roll_back(answered.places)
    assert len(now(answered.places).versions) == 2


def test_purge_still_knows_the_rows(answered: Answered) -> None:
    def kept(name: str) -> list[int | None]:
        return [h.count for h in holders(answered.places, now(answered.places), name) if "names the rows" in h.why]

    before = kept("faces-1")
    dropped(answered.places, "faces-1")
    assert kept("faces-1") == before
    assert before


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["faces-3"],
            "faces-3 is pending; only rows of a request that is done can be dropped; `cu requests run faces-3`",
        ),
        (["faces-9"], "no request 'faces-9'"),
        (["faces-2", "faces-1"], "of faces-1 were dropped .*; leave faces-1 out, nothing was dropped of faces-2"),
        (["faces-1"], "nothing is left to drop: .* of faces-1 were dropped on purpose in entry 9"),
    ],
)
def test_what_cannot_be_dropped(answered: Answered, names: list[str], said: str) -> None:
    add_request(answered.places, {"kind": "by_class", "classes": [6]})
    dropped(answered.places, "faces-1")
    digest = read_manifest(answered.folder / "data").digest
    with pytest.raises(ConfigError, match=said):
        dropped(answered.places, *names)
    assert read_manifest(answered.folder / "data").digest == digest


def test_data_that_another_model_needs_are_not_rewritten(tmp_path: Path, digits: Path) -> None:
    places = opened(tmp_path, digits)
    add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places)
    opened(tmp_path, digits, name="second")
    digest = read_manifest(tmp_path / "data").digest
    with pytest.raises(ConfigError, match="also holds the data of the model second, which has not forgotten these"):
        dropped(places, "faces-1")
    assert read_manifest(tmp_path / "data").digest == digest


def test_with_a_new_folder_the_data_and_the_ledger_stay(answered: Answered, tmp_path: Path) -> None:
    last, reader = now(answered.places).last, ShardReader(answered.folder / "data")
    manifest, chosen, entry = drop_requests(answered.places, ["faces-1"], reader, tmp_path / "new")
    assert entry is None
    assert chosen is not None
    assert now(answered.places).last == last
    assert manifest.dropped[-1].requests == ("faces-1",)
    assert read_manifest(tmp_path / "new").num_rows("train") == reader.num_rows("train") - chosen.total


def test_only_the_model_s_own_folder_is_rewritten(answered: Answered, tmp_path: Path) -> None:
    shutil.copytree(answered.folder / "data", tmp_path / "copy")
    with (
        rewriting(tmp_path / "copy"),
        pytest.raises(ConfigError, match="faces has its data in .*/data, not in .*/copy; name those, or give --out"),
    ):
        drop_requests(answered.places, ["faces-1"], ShardReader(tmp_path / "copy"), None)
