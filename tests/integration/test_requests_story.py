"""A week of requests to one model: batches, a cancelled one, one that comes again, two kills, a roll-back, a drop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from cu_core.checkpoint import read_meta
from cu_core.data.requests import ForgetSet, load_forget_set
from cu_core.data.shard_reader import ShardReader
from pipelines.cli.main import main
from pipelines.requests.places import Places
from pipelines.requests.state import State, state_of

CONFIG = """
model: {{name: resnet10, width: 8}}
data: {{path: {data}}}
storage: {storage}
train: {{epochs: 1, batch: 64, optimizer: {{lr: 0.05}}}}
stop: {{rule: none, max_steps: 12}}
batches: {{forget_batch: 16, retain_batch: 16, omega: 1}}
workers: {{checkpoint_every: 2}}
audit: {{oracles: 1, audits: [accuracy, membership], max_rows: 100}}
"""


class Story:
    """One model, its commands, and what its ledger and its registry say."""

    def __init__(self, folder: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
        self.store, self.monkeypatch, self.capsys = folder / "out", monkeypatch, capsys
        self.places = Places(self.store, "faces")
        shutil.copytree(digits, folder / "data")
        self.reader = ShardReader(digits)
        (folder / "faces.yaml").write_text(CONFIG.format(data=folder / "data", storage=self.store))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):  # of tests that ran before in this process
            monkeypatch.delenv(name, raising=False)

    def words(self, *words: object) -> list[str]:
        stored = [] if words[0] == "open" else ["--storage", str(self.store)]
        return [*([] if words[0] == "data" else ["requests"]), *map(str, words), *stored]

    def cu(self, *words: object) -> str:
        self.monkeypatch.setattr(sys, "argv", ["cu", *self.words(*words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = self.capsys.readouterr()
        assert not stopped.value.code, said.err + said.out
        return str(said.err + said.out)

    def killed(self, *words: object, when: Callable[[], bool]) -> None:
        command = [sys.executable, "-m", "pipelines.cli.entry", *self.words(*words)]
        here = str(Path(__file__).parents[2])
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ends = time.monotonic() + 300
        while not when():
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < ends
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()

    @property
    def state(self) -> State:
        assert self.places.ledger.problems() == []
        return state_of(self.places.ledger.read())

    @property
    def words_of_requests(self) -> dict[str, str]:
        return {name.removeprefix("faces-"): one.word for name, one in self.state.requests.items()}

    def registered(self, alias: str) -> str:
        """Weights of the version that an alias names."""
        client = MlflowClient(f"sqlite:///{self.store / 'mlflow.db'}")
        return str(client.get_model_version_by_alias("faces", alias).tags["weights"])

    def weights(self, folder: str) -> str:
        return str(read_meta(self.store / folder)["files"]["model.safetensors"])

    def forgotten(self, *names: int) -> ForgetSet:
        """The rows of requests, from their files."""
        found = []
        for name in names:
            token = self.state.requests[f"faces-{name}"].received.fields["token"]
            digest = json.loads(self.places.asked_file(token).read_text())["forget"]
            found.append(load_forget_set(self.places.forget_file(digest), self.reader.manifest.digest))
        rows = np.unique(np.concatenate([one.rows for one in found]))
        return ForgetSet("sample", (), rows, self.reader.sample_ids("train", rows), "")


def test_a_week_of_requests(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(tmp_path, digits, monkeypatch, capsys)
    story.cu("open", "faces", "faces.yaml")

    # Monday: a class, some rows by a column, a list of ids that is withdrawn.
    story.cu("add", "faces", "--class", 5, "--reason", "contract ended", "--due", "2030-01-31")
    story.cu("add", "faces", "--where", "sample_id < 60")
    ids = story.reader.sample_ids("train", np.arange(200, 230))
    (tmp_path / "ids.csv").write_text("sample_id\n" + "\n".join(map(str, ids)))
    story.cu("add", "faces", "--ids", "ids.csv")
    story.cu("cancel", "faces-3")
    assert story.words_of_requests == {"1": "pending", "2": "pending", "3": "cancelled"}
    story.cu("run", "faces-1", "--local")
    assert story.words_of_requests == {"1": "done", "2": "pending", "3": "cancelled"}
    first = story.state.versions[-1]
    assert story.registered("current") == first.weights == story.weights(first.folder)
    assert story.registered("previous") == story.weights(str(story.state.opened.fields["original"]))

    # Wednesday: the list again with an id that is unknown, and the class again.
    with (tmp_path / "ids.csv").open("a") as file:
        file.write("\n999999999\n")
    said = story.cu("add", "faces", "--ids", "ids.csv", "--missing", "note")
    assert "1 of 31 ids are not in the training split: 999999999" in " ".join(said.split())
    assert "are forgotten already, by faces-1" in " ".join(said.split())
    assert "nothing is left to forget" in " ".join(story.cu("add", "faces", "--class", 5).split())
    assert story.words_of_requests["5"] == "covered"

    # Thursday: both that wait in one batch; killed while it unlearns, and again while it audits.
    runs, done = story.store / "runs", set(story.store.glob("runs/*"))
    story.killed(
        "run", "--local",
        when=lambda: any(any(run.glob("checkpoints/*/meta.json")) for run in set(runs.glob("*")) - done),
    )  # fmt: skip
    started = story.state.started
    assert started is not None
    assert started.fields["requests"] == ["faces-2", "faces-4"]
    assert story.registered("current") == first.weights
    run = runs / started.fields["run"]
    story.killed("run", "--local", when=lambda: (run / "unlearned" / "meta.json").is_file())
    assert story.state.started == started
    story.cu("run", "--local")
    assert story.words_of_requests == {"1": "done", "2": "done", "3": "cancelled", "4": "done", "5": "covered"}
    second = story.state.versions[-1]
    facts = second.entry.fields
    assert story.registered("current") == second.weights == story.weights(second.folder)
    assert story.registered("previous") == first.weights
    assert facts["predecessor"]["weights"] == first.weights
    assert (facts["violations"], facts["retained_rows_checked"]) == (0, 12 * 16)
    assert facts["rows"]["forgotten_in_all"] == len(story.forgotten(1, 2, 4).rows)
    assert facts["rows"]["forgotten_before"] == len(story.forgotten(1).rows)
    assert facts["rows"]["forgotten_now"] == len(np.setdiff1d(story.forgotten(2, 4).rows, story.forgotten(1).rows))
    assert facts["audit"]["oracles"] == 1

    # Every certificate is sound, and every unlearning gives the same weights again.
    for name in (1, 2, 4):
        story.cu("certificate", f"faces-{name}")
    for name in (1, 4):
        said = story.cu("verify", story.places.certificate(f"faces-{name}"), "--replay")
        assert "replay: the same weights, bit for bit" in " ".join(said.split())

    # Friday: taken back, and answered again with the same result.
    story.cu("roll-back", "faces")
    assert story.registered("current") == first.weights
    assert story.words_of_requests == {"1": "done", "2": "pending", "3": "cancelled", "4": "pending", "5": "covered"}
    story.cu("run", "--local")
    again = story.state.versions[-1]
    assert again.folder != second.folder
    assert again.weights == second.weights == story.registered("current")
    kinds = [entry.kind for entry in story.places.ledger.read()]
    assert kinds == [
        "opened", "received", "received", "received", "cancelled", "started", "completed", "received", "received",
        "started", "completed", "rolled_back", "started", "completed",
    ]  # fmt: skip

    # Later the rows of the class are taken out of the data: certificates stay sound, and requests go on.
    story.cu("certificate", "faces-1")
    story.cu("data", "drop", tmp_path / "data", "--request", "faces-1")
    said = " ".join(story.cu("verify", story.places.certificate("faces-1")).split())
    assert "training rows of faces-1 were dropped on purpose in entry 15" in said
    story.cu("add", "faces", "--class", 6)
    story.cu("run", "--local")
    facts = story.state.versions[-1].entry.fields
    assert facts["rows"]["dropped"] > 0
    assert facts["violations"] == 0
    assert story.registered("current") == facts["result"]["weights"]
    story.cu("certificate", "faces-6")
    said = " ".join(story.cu("verify", story.places.certificate("faces-6"), "--replay").split())
    assert "replay: the same weights, bit for bit" in said
