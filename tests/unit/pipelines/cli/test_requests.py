from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from cu_core.errors import ConfigError
from cu_core.leftovers import PARTIAL
from pipelines.requests import intake, replay
from pipelines.requests.intake import add_request, cancel_request
from pipelines.requests.issue import issue
from pipelines.requests.places import Places
from tests.unit.pipelines.commands import Cu
from tests.unit.pipelines.requests.answered import answer_all, now, opened
from tests.unit.pipelines.requests.conftest import write_keys


@pytest.fixture
def store(tmp_path: Path, digits: Path) -> Path:
    """Storage of an opened model."""
    return opened(tmp_path, digits).store


def told(text: str) -> str:
    return " ".join(text.split())


def test_a_model_is_opened_from_a_configuration(cu: Cu, tmp_path: Path, store: Path) -> None:
    ran = cu("requests", "open", "second", tmp_path / "config.yaml", "seed=4")
    assert ran.status == 0
    assert "next    cu requests add second" in ran.err
    assert cu("requests", "open", "second", tmp_path / "config.yaml").err.startswith("cu: MODEL: second was opened")


def test_ids_may_come_from_standard_input(cu: Cu, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin: Any = io.TextIOWrapper(io.BytesIO(b"sample_id\n20\n3\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    ran = cu("requests", "add", "faces", "--ids", "-", "--missing", "note", "--storage", store)
    assert ran.status == 0, ran.err
    assert "faces-1 is entered" in ran.err
    assert "standard input: 1 of 2 ids are not in the training split: 3" in told(ran.err)
    shown = cu("requests", "show", "faces-1", "--storage", store).err
    assert "asked: --ids - --missing note" in shown
    assert "found: not in the training split: 3" in shown


def test_standard_input_lies_where_the_next_command_sweeps_what_a_killed_one_left(
    cu: Cu, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin: Any = io.TextIOWrapper(io.BytesIO(b"sample_id\n20\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    lay: list[Path] = []
    plain = intake.add_request

    def add(places: Places, request: dict[str, Any], reason: str, due: str | None) -> intake.Received:
        lay.append(Path(request["path"]).parent)
        assert lay[0].stat().st_mode & 0o777 == 0o700
        return plain(places, request, reason, due)

    monkeypatch.setattr(intake, "add_request", add)
    assert cu("requests", "add", "faces", "--ids", "-", "--storage", store).status == 0
    assert lay[0].parent == store / "intake" / "faces"
    assert PARTIAL.fullmatch(lay[0].name)
    assert not lay[0].exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give exactly one of --ids, --where, --class and --concept, got none"),
        (["--class", 5, "--where", "label == 5"], "got --where and --class"),
        (["--class", 5, "--key", "user_id"], "--key belongs to --ids"),
        (["--where", "label == 5", "--missing", "note"], "--missing belongs to --ids"),
        (["--class", 55], "class 55 does not exist"),
        (["--ids", "/nowhere"], "no file /nowhere"),
        (["--class", 5, "--due", "soon"], "--due: must be a date"),
    ],
)
def test_careless_words_are_one_line(cu: Cu, store: Path, words: list[object], said: str) -> None:
    ran = cu("requests", "add", "faces", *words, "--storage", store)
    assert ran.status == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_requests_are_listed_shown_and_cancelled(cu: Cu, store: Path) -> None:
    cu("requests", "add", "faces", "--where", "sample_id == 20", "--reason", "by mail", "--storage", store)
    assert "faces-1" in cu("requests", "list", "--storage", store).err
    assert "reason: by mail" in cu("requests", "show", "faces-1", "--storage", store).err
    assert cu("requests", "show", "faces-1", "--contains", 20, "--storage", store).status == 0
    assert cu("requests", "show", "faces-1", "--contains", 21, "--storage", store).status == 1
    assert "faces-1 is cancelled" in cu("requests", "cancel", "faces-1", "--storage", store).err
    assert "no request is pending" in cu("requests", "run", "--local", "--storage", store).err


def test_copies_of_the_rows_are_told(cu: Cu, store: Path) -> None:
    ran = cu("requests", "add", "faces", "--where", "sample_id == 20", "--duplicates", "report", "--storage", store)
    assert "copies of forget rows that stay in the retain set: 0" in told(ran.err)


def test_a_list_of_no_request_is_a_line(cu: Cu, store: Path) -> None:
    shown = cu("requests", "list", "--storage", store).err
    assert shown.startswith("no request is entered yet")
    assert "next    cu requests add MODEL" in shown


def test_an_answer_of_what_was_forgotten_names_the_request(cu: Cu, store: Path) -> None:
    places = Places(store, "faces")
    for _ in range(2):
        add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places, "faces-1")
    shown = cu("requests", "run", "faces-2", "--local", "--storage", store).err
    assert "faces-2 covered: every row was forgotten before (entry" in shown


def test_several_models_are_no_batch(cu: Cu, store: Path, tmp_path: Path) -> None:
    cu("requests", "open", "second", tmp_path / "config.yaml")
    ran = cu("requests", "run", "faces-1", "second-1", "--local", "--storage", store)
    assert (ran.status, "a batch is of one model" in ran.err) == (2, True)


def test_a_certificate_is_written_and_verified(cu: Cu, store: Path, tmp_path: Path) -> None:
    places = opened(tmp_path, store, name="third")
    add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places)
    assert "not signed" in cu("requests", "certificate", "third-1", "--storage", store).err
    file = places.certificate("third-1")
    sound = cu("requests", "verify", file, "--storage", store)
    assert sound.status == 0
    assert "signature: none" in sound.err
    folder = now(places).versions[-1].folder
    (store / folder / "model.safetensors").write_bytes(b"x")
    ran = cu("requests", "verify", file, "--replay", "--storage", store)
    assert ran.status == 2
    assert ran.out.startswith("result: ")
    assert "1 problem found" in ran.err
    assert "replay: left out" in ran.err


def test_a_replay_that_differs_is_a_problem(
    cu: Cu, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = opened(tmp_path, store, name="third")
    add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places)
    cu("requests", "certificate", "third-1", "--storage", store)
    monkeypatch.setattr(replay, "replay", lambda places, number: (["replay: other weights"], []))
    ran = cu("requests", "verify", places.certificate("third-1"), "--replay", "--storage", store)
    assert (ran.status, ran.out) == (2, "replay: other weights\n")


def test_status_and_purge_tell_what_is_there(cu: Cu, store: Path, tmp_path: Path) -> None:
    places = opened(tmp_path, store, name="third")
    add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places)
    (tmp_path / "policy.yaml").write_text("batches: 1\n")
    ran = cu("requests", "status", "third", "--retrain-when", tmp_path / "policy.yaml", "--storage", store)
    assert "retrained model: DUE: batches answered: 1 (bound 1)" in told(ran.err)
    listed = cu("requests", "purge", "third-1", "--storage", store)
    assert "keep     models/" in listed.out
    assert "nothing was changed" in listed.err
    assert "0 places purged" in cu("requests", "purge", "third-1", "--remove", "--storage", store).err


@pytest.fixture(scope="module")
def careless_place(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """A storage with a request that is done, one that is cancelled and one that waits; lists and keys that are none."""
    folder = tmp_path_factory.mktemp("careless")
    places = opened(folder, digits)
    add_request(places, {"kind": "by_class", "classes": [5]})
    answer_all(places)
    add_request(places, {"kind": "by_class", "classes": [6]})
    cancel_request(places, "faces-2")
    add_request(places, {"kind": "by_class", "classes": [7]})
    issue(places, "faces-1", None)
    write_keys(folder, "key")
    for name, text in LISTS.items():
        (folder / name).write_text(text)
    (folder / "folder").mkdir()
    return folder


LISTS = {
    "empty.csv": "", "header.csv": "sample_id\n", "other.csv": "user,x\n1,2\n", "range.csv": "sample_id\n1-20\n",
    "ids.csv": "sample_id\n20\n", "policy.yaml": "batchs: 2\n", "figure.yaml": "metrics: {nothing: 1}\n",
    "list.yaml": "[1]",
}  # fmt: skip
CARELESS = [
    ("add nobody --class 5", "no model 'nobody' in"),
    ("add ../x --class 5", "MODEL: must begin with a letter"),
    ("add faces --class 5-7", "class 5-7 does not exist"),
    ("add faces --ids empty.csv", "empty.csv holds no id."),
    ("add faces --ids header.csv", "header.csv holds no id, only the header."),
    ("add faces --ids folder", "folder is a folder; name the file of the list"),
    ("add faces --ids ''", "--ids: must name a file, got an empty text"),
    ("add faces --class ''", "--class: must name a class, got an empty text"),
    ("add faces --ids other.csv", "has no column sample_id or id; columns there: 'user', 'x'"),
    ("add faces --ids range.csv", "1 of 1 in the list are none: '1-20'"),
    ("add faces --ids ids.csv --key user_id", "--key: no column 'user_id'"),
    ("add faces --where ''", "--where '': does not parse"),
    ("add faces --where 'sample_id = 3'", "does not parse: invalid syntax"),
    ("add faces --concept ''", "concept and synonyms must each hold a word"),
    ("add faces --class 7 --due 2026-13-01", "--due: must be a date such as 2027-01-31, got '2026-13-01'"),
    ("show faces", "a request is called MODEL-NUMBER, e.g. faces-3"),
    ("show faces-1,faces-2", "several are named one by one, got 'faces-1,faces-2'"),
    ("show faces-99", "no request 'faces-99': the last one is faces-3"),
    ("show faces-1..3", "several are named one by one, got 'faces-1..3'"),
    ("show faces-1 --contains ''", "--contains: must be an id, got an empty text"),
    ("run faces-1-3 --local", "several are named one by one, got 'faces-1-3'"),
    ("run faces-2 --local", "faces-2 is cancelled; only pending requests can be run"),
    ("run faces-1 --local", "faces-1 is done (version of entry 4); only pending requests can be run"),
    ("run --storage nowhere", "no model in"),
    ("list --storage nowhere", "no model in"),
    ("list nobody", "no model 'nobody' in"),
    ("cancel faces-2", "faces-2 is cancelled and cannot be cancelled"),
    ("cancel faces-1", "faces-1 is done and cannot be cancelled"),
    ("certificate faces-2", "faces-2 is cancelled; a certificate is for a request that is done"),
    ("certificate faces-3", "faces-3 is pending; a certificate is for a request that is done"),
    ("certificate faces-1 --key nowhere.pem", "--key: no file nowhere.pem."),
    ("certificate faces-1 --key folder", "--key: folder is a folder; name a file."),
    ("certificate faces-1 --key key.pub", "must be a private key in PEM without a password"),
    ("verify nowhere.json", "nowhere.json; `cu requests certificate ID` writes one"),
    ("verify folder", "folder is a folder; name the JSON file of a certificate"),
    ("verify ids.csv", "ids.csv is no certificate of this tool, or is damaged"),
    ("verify out/certificates/faces-1.html", "is no certificate of this tool, or is damaged"),
    (
        "verify list.yaml",
        "is no certificate of this tool, or is damaged (it holds no object of JSON); name the JSON file",
    ),
    ("verify out/certificates/faces-1.json --key key.pem", "--key key.pem: must be a public key in PEM"),
    ("verify out/certificates/faces-1.json --key folder", "--key: folder is a folder"),
    ("status faces --retrain-when policy.yaml", "policy.yaml: batchs: unknown key; did you mean batches?"),
    ("status faces --retrain-when figure.yaml", "metrics: no audit has a figure 'nothing'"),
    ("status faces --retrain-when nowhere.yaml", "--retrain-when: no file nowhere.yaml"),
    ("roll-back nobody", "no model 'nobody' in"),
    ("purge faces-3", "faces-3 is pending; only what a request that is done has left is purged"),
    ("open a/b config.yaml", "MODEL: must begin with a letter"),
    ("open faces config.yaml", "MODEL: faces was opened before"),
    ("open new config.yaml storage=ids.csv", "ids.csv is a file; name a folder"),
    ("open new nowhere.yaml", "no configuration file nowhere.yaml"),
]


@pytest.mark.parametrize(("line", "said"), CARELESS, ids=[line for line, _ in CARELESS])
def test_careless_input_is_one_line_and_changes_nothing(
    cu: Cu, careless_place: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.chdir(careless_place)
    words = shlex.split(line)
    stored = [] if words[0] == "open" or "--storage" in words else ["--storage", "out"]
    held = {path: path.read_bytes() for path in sorted((careless_place / "out").rglob("*.json"))}
    ran = cu("requests", *words, *stored)
    assert ran.status == 2
    assert said in ran.err
    assert (ran.err + ran.out).count("\n") == 1
    assert {path: path.read_bytes() for path in sorted((careless_place / "out").rglob("*.json"))} == held


def test_a_day_that_is_past_is_told(cu: Cu, store: Path) -> None:
    ran = cu("requests", "add", "faces", "--class", 5, "--due", "1999-01-01", "--storage", store)
    assert ran.status == 0
    assert "due 1999-01-01 is a day that is past: the request is overdue" in told(ran.err)


def test_a_model_that_cannot_be_answered_does_not_stop_the_others(
    cu: Cu, tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        opened(tmp_path, digits, name=name)
    tried: list[str] = []

    def answer(places: Places, names: list[str], local: bool) -> None:
        tried.append(places.model)
        if places.model == "b":
            raise ConfigError("its data are gone")

    monkeypatch.setattr("pipelines.requests.answer.answer", answer)
    ran = cu("requests", "run", "--storage", tmp_path / "out")
    assert (ran.status, tried) == (2, ["a", "b", "c"])
    assert "b: its data are gone" in ran.err
    assert "the requests of b were not answered" in ran.err
