"""The command line in this process: local runs, interruption, and what careless users type."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.tracking import MlflowClient

from cu_core.config_io import dump_config
from cu_core.unlearn.loop import Loop
from cu_core.workspace import Workspace
from pipelines.cli import main as cli
from pipelines.run import unlearning
from pipelines.run.folder import RunFolder
from tests.conftest import pack_quietly, small


@pytest.fixture
def config_file(digits: Path, storage: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(dump_config(small(digits, storage, workers={"checkpoint_every": 4})))
    return path


def cu(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run the command; its exit status."""
    monkeypatch.setattr(sys, "argv", ["cu", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_an_interrupted_local_run_is_resumed_once(
    config_file: Path, storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = unlearning.bar_step

    def interrupt(drawn: Any, label: str) -> unlearning.OnStep:
        def on_step(report: Any) -> None:
            if label == "unlearn" and report.step == 10:
                raise KeyboardInterrupt

        return on_step

    monkeypatch.setattr(unlearning, "bar_step", interrupt)
    assert cu(monkeypatch, "unlearn", config_file, "name=halves", "--local") == 130
    folder = RunFolder(storage / "runs" / "halves")
    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    run_id = folder.record()["mlflow_run_id"]
    assert client.get_run(run_id).info.status == "KILLED"
    assert not folder.unlearned.exists()

    monkeypatch.setattr(unlearning, "bar_step", real)
    starts: list[int] = []

    def started(loop: Loop, state: Any = None) -> Any:
        starts.append(state.step if state else 0)
        return real_loop(loop, state)

    monkeypatch.setattr("cu_core.unlearn.trace.run_loop", started)
    assert cu(monkeypatch, "unlearn", config_file, "--local", "name=halves") == 2  # the name is in use
    assert "go on with --resume halves" in capsys.readouterr().err
    assert cu(monkeypatch, "unlearn", config_file, "seed=1", "--local", "--resume", "halves") == 2
    assert "has another configuration (seed was 0, is 1); use " in capsys.readouterr().err
    assert cu(monkeypatch, "unlearn", config_file, "--local", "--resume", "halves") == 0
    assert starts[0] == 8
    assert (folder.path / "report.html").read_text().startswith("<!doctype html>")
    assert folder.record()["mlflow_run_id"] == run_id
    points = [m.step for m in client.get_metric_history(run_id, "step/loss")]
    assert sorted(set(points)) == sorted(points)
    assert cu(monkeypatch, "unlearn", config_file, "--local", "--resume", "halves") == 2
    assert "that run is finished" in capsys.readouterr().err


def real_loop(loop: Loop, state: Any) -> Any:
    from cu_core.unlearn.loop import run_loop

    return run_loop(loop, state)


def test_audit_takes_a_run_a_folder_a_weights_file_and_a_registered_model(
    config_file: Path,
    storage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cu(monkeypatch, "unlearn", config_file, "name=audited", "--local") == 0
    model = storage / "runs" / "audited" / "unlearned"
    registered = "models:/digits-resnet10@unlearned"
    for number, name in enumerate(("audited", model, model.parent, model / "model.safetensors", registered)):
        out = tmp_path / f"audit{number}"
        assert cu(monkeypatch, "audit", name, f"storage={storage}", "--out", out, "--local") == 0
        assert {p.name for p in out.iterdir()} == {"audit.json", "report.html", "samples.parquet"}
    texts = [(tmp_path / f"audit{n}" / "audit.json").read_text() for n in (0, 1, 2)]
    assert texts[0] == texts[1] == texts[2]
    words = ("--config", config_file, "--local", "--out")
    assert cu(monkeypatch, "audit", "audited", *words, tmp_path / "audit0") == 2
    assert cu(monkeypatch, "audit", "nothing", *words, tmp_path / "x") == 2
    assert "no run of that name" in capsys.readouterr().err
    assert cu(monkeypatch, "audit", "audite", f"storage={storage}") == 2
    assert "no run of that name" in (said := capsys.readouterr().err)
    assert "did you mean audited?" in said
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((model / "model.safetensors").read_bytes())
    assert cu(monkeypatch, "audit", alone) == 2
    assert "say with --config" in capsys.readouterr().err
    assert cu(monkeypatch, "audit", config_file) == 2
    assert "is a configuration, not a model" in capsys.readouterr().err
    assert cu(monkeypatch, "explain", "mia_auc") == 0
    assert "Yeom et al. 2018" in capsys.readouterr().out


def test_dry_run_and_print_config_write_nothing(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = f"storage={tmp_path / 'fresh'}"
    assert cu(monkeypatch, "unlearn", config_file, fresh, "--dry-run") == 0
    shown = capsys.readouterr().err
    assert "train original" in shown
    assert "would write" in shown
    assert cu(monkeypatch, "unlearn", config_file, fresh, "method.temperature=0.3", "--print-config") == 0
    assert yaml.safe_load(capsys.readouterr().out)["method"]["temperature"] == 0.3
    assert not (tmp_path / "fresh").exists()


CARELESS: list[tuple[list[str], str]] = [
    (["unlearn", "absent.yaml"], "no configuration file absent.yaml"),
    (["unlearn", "CONFIG", "method.temprature=1"], "did you mean method.temperature?"),
    (["unlearn", "CONFIG", "seed=many"], "seed: Input should be a valid integer"),
    (["unlearn", "CONFIG", "request.classes=[12]"], "class 12 does not exist; classes: 0, 1"),
    (["unlearn", "CONFIG", "request.classes=[0,1,2,3,4,5,6,7,8,9]"], "forgets all 1079 training rows"),
    (["unlearn", "CONFIG", "request.kind=by_predicate", "request.where=label == 11"], "forgets nothing"),
    (["unlearn", "CONFIG", "request.kind=by_id", "request.path=IDS"], "ids are not in the training split, e.g. 999999"),
    (["unlearn", "CONFIG", "data.path=CORRUPT"], "train-00000.arrow must have"),
    (["unlearn", "CONFIG", "model.weights=OTHER"], "holds another model"),
    (["unlearn", "CONFIG", "model.weights=IDS"], "is no weights file"),
    (["unlearn", "CONFIG", "storage=FILE"], "is a file; name a folder"),
    (["unlearn", "CONFIG", "data.path=nowhere"], "not a packed data set"),
    (["unlearn", "CONFIG", "model.name=resnet19"], "unknown model 'resnet19'"),
    (["unlearn", "CONFIG", "--resume", "never"], "no such run"),
    (["unlearn", "CONFIG", "tracking.uri=http://127.0.0.1:9"], "cannot be used"),
    (["data", "pack", "digits", "FILE"], "already exists"),
    (["data", "verify", "CORRUPT"], "problem"),
    (["data", "inspect", "nowhere"], "not a packed data set"),
    (["quickstart", "--data", "imagenet"], "quickstart knows digits"),
    (["repeat", "CONFIG", "--vary", "seed"], "must have the form"),
]


@pytest.mark.parametrize(("words", "message"), CARELESS, ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else "")
def test_careless_input_is_one_line_and_status_2(
    words: list[str], message: str, config_file: Path, digits: Path, storage: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from cu_core.run import Hooks, run_train

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "ids.txt").write_text("999999\n")
    (tmp_path / "file").write_text("")
    if "CORRUPT" in " ".join(words):
        shard = pack_quietly("digits", tmp_path / "corrupt") / "train-00000.arrow"
        shard.write_bytes(shard.read_bytes()[:-1])
    if "OTHER" in " ".join(words):
        other = small(digits, storage, model={"name": "resnet10", "width": 4}, train={"epochs": 0.1})
        run_train(Workspace(other), tmp_path / "other", Hooks())
    places = {"CONFIG": config_file, "IDS": tmp_path / "ids.txt", "CORRUPT": tmp_path / "corrupt",
              "OTHER": tmp_path / "other", "FILE": tmp_path / "file"}  # fmt: skip
    for name, place in places.items():
        words = [w.replace(name, str(place)) for w in words]
    runs = set((storage / "runs").glob("*")) if (storage / "runs").is_dir() else set()
    assert cu(monkeypatch, *words, *(["--local"] if words[0] == "unlearn" else [])) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("cu: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in error
    for new in set((storage / "runs").glob("*")) - runs if (storage / "runs").is_dir() else set():
        assert not (new / "result.json").exists()
        assert not (new / "unlearned").exists()


def test_no_room_to_write_is_one_line_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        status = cu(monkeypatch, "data", "pack", "digits", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert status == 2
    assert "cu: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["audit", "RUN", "--models", "8"], "cu audit-strong CONFIG --models 8"),
        (["audit", "RUN", "--tier", "strong"], "cu audit-strong CONFIG --models N"),
        (["audit", "RUN", "--explain", "mia_auc"], "cu explain mia_auc"),
        (["audit", "RUN", "--schema"], "cu schema"),
        (["audit-strong", "CONFIG", "--models", "9"], "even number"),
        (["audit-strong", "CONFIG", "--models", "6"], "at least 8"),
    ],
)
def test_a_strong_audit_needs_enough_models_and_old_forms_say_the_new(
    words: list[str],
    message: str,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [config_file if word == "CONFIG" else word for word in words]
    assert cu(monkeypatch, *given, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
