"""A small CLIP through ``cu``: two real Ray workers, MLflow, report; and what a careless user gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from safetensors.torch import save_file

from cu_core.config_io import dump_config
from cu_core.models.towers import open_clip_towers
from pipelines.cli.main import main
from tests.conftest import small_clip
from tests.unit.cu_core.models.test_towers import saved


def cu(*arguments: str, place: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "pipelines.cli.entry", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=place)


def test_two_workers_forget_a_concept_and_the_report_shows_it(captions: Path, clip_file: Path, tmp_path: Path) -> None:
    config = small_clip(
        captions,
        tmp_path / "storage",
        clip_file,
        request={"kind": "by_concept", "concept": "5"},
        name="clip",
        workers={"count": 2, "rows_at_once": 20},
        stop={"max_steps": 4, "check_every": 2},
    )
    (tmp_path / "clip.yaml").write_text(dump_config(config))
    done = cu("unlearn", "clip.yaml", place=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "matched: the digit 5" in done.stderr
    run = tmp_path / "storage" / "runs" / "clip"
    report = json.loads((run / "audit.json").read_text())
    assert report["kind"] == "class"
    assert {"forget_t2i_r1", "hub_rate", "best_template_accuracy"} <= {row["name"] for row in report["rows"]}
    page = (run / "report.html").read_text()
    assert "Test images nearest to the forgotten class" in page
    assert "Cosine of unseen forgotten images" in page
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/storage/mlflow.db")
    served = mlflow.pyfunc.load_model("models:/captions-open_clip.tiny@unlearned")
    assert np.isfinite(served.predict(np.zeros((2, 1, 8, 8), np.float32))).all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.path={digits}", "has no column caption; pack pairs"),
        ("request={kind: by_concept, concept: zebra}", "no caption names zebra"),
        ("request={kind: by_concept, concept: digit}", "forgets all"),
        ("model.name=open_clip:nothing.json", "no file"),
        ("model.name=open_clip:RN5000", "open_clip has no model 'RN5000'"),
        ("model.start={other}", "holds another model"),
        ("model.name=transformers:{wrong}", "it belongs to another model"),
        ("method.name=scrub", "cannot change an image-text model"),
    ],
)
def test_careless_input_is_one_line(
    override: str,
    message: str,
    captions: Path,
    digits: Path,
    clip_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"digits": digits, "other": tmp_path / "other.safetensors", "wrong": tmp_path / "wrong"}
    for name, place in places.items():
        override = override.replace(f"{{{name}}}", str(place))
    if str(places["other"]) in override:
        (tmp_path / "other.json").write_text(json.dumps(json.loads(clip_file.read_text()) | {"embed_dim": 24}))
        weights = open_clip_towers(str(tmp_path / "other.json")).body.state_dict()
        save_file({k: v.contiguous() for k, v in weights.items()}, places["other"])
    if str(places["wrong"]) in override:
        saved(places["wrong"], "clip", [f"word{i}" for i in range(100)])
    (tmp_path / "clip.yaml").write_text(dump_config(small_clip(captions, tmp_path / "storage", clip_file)))
    monkeypatch.setattr(sys, "argv", ["cu", "unlearn", str(tmp_path / "clip.yaml"), "--local", override])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in " ".join(said.split())
    assert not (tmp_path / "storage" / "models").exists()
