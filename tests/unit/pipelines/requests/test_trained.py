from __future__ import annotations

import json
import shutil
from pathlib import Path

from cu_core.data.requests import load_forget_set, save_forget_set
from cu_core.files import file_sha256
from pipelines.requests.asked import forget_set_of, without
from pipelines.requests.trained import trained_with
from tests.unit.pipelines.requests.answered import now, tiny_model
from tests.unit.pipelines.requests.conftest import Answered


def listed(answered: Answered, name: str) -> dict[str, str]:
    state = now(answered.places)
    forget = forget_set_of(answered.places, state, name)
    return {answered.places.inside(path): why for path, why in trained_with(answered.places, state, name, forget)}


def audited(answered: Answered, request: str, oracle: Path) -> None:
    """The report of the first run, as one with an oracle that was retrained without the request."""
    weights = file_sha256(oracle / "model.safetensors")[:16]
    digests = {"data": "d", "request": request, "oracle_0": weights}
    (answered.store / "runs" / "faces-run-3" / "audit.json").write_text(json.dumps({"digests": digests}))


def in_mlflow(answered: Answered, name: str, folder: Path) -> None:
    copy = answered.store / "mlartifacts" / "models" / name / "artifacts"
    (copy / "extra_files").mkdir(parents=True)
    (copy / "MLmodel").write_text("")
    shutil.copy(folder / "model.safetensors", copy / "extra_files")


def test_an_oracle_without_the_rows_is_no_model_that_was_trained_with_them(answered: Answered) -> None:
    state, models = now(answered.places), answered.store / "models"
    forget = forget_set_of(answered.places, state, "faces-1")
    file = save_forget_set(answered.store / "requests", forget)
    tiny_model(models / "oracle", 5.0)
    tiny_model(models / "other", 6.0)
    audited(answered, file.parent.name, models / "oracle")
    original = state.opened.fields["original"]
    assert listed(answered, "faces-1") == {
        original: "the original of faces; audits compare with it",
        "models/other": "an original, oracle or model of a pool; it may have been trained with the rows",
    }
    part = save_forget_set(
        answered.store / "requests", without(forget, forget_set_of(answered.places, state, "faces-2"))
    )
    assert len(load_forget_set(part, state.data).rows) < len(forget.rows)
    audited(answered, part.parent.name, models / "oracle")
    assert "models/oracle" in listed(answered, "faces-1"), "an oracle without a part of the rows has the others"


def test_copies_of_models_in_mlflow_are_listed_unless_they_are_without_the_rows(answered: Answered) -> None:
    store, state = answered.store, now(answered.places)
    tiny_model(store / "elsewhere", 9.0)
    in_mlflow(answered, "m-1", store / state.opened.fields["original"])
    in_mlflow(answered, "m-2", store / state.versions[0].folder)
    in_mlflow(answered, "m-3", store / "elsewhere")
    found = listed(answered, "faces-2")
    assert found[state.versions[0].folder] == "a version before the request; roll-back and replay need it"
    copies = {place.split("/")[2]: why for place, why in found.items() if place.startswith("mlartifacts")}
    assert copies == {
        "m-1": f"MLflow's copy of {state.opened.fields['original']}",
        "m-2": f"MLflow's copy of {state.versions[0].folder}",
        "m-3": "a model in MLflow; it may have been trained with the rows",
    }
    assert "m-2" not in " ".join(listed(answered, "faces-1")), "it has forgotten the rows"


def test_a_model_that_another_run_unlearned_is_listed_unless_it_forgot_the_rows(answered: Answered) -> None:
    state = now(answered.places)
    for name, request in (("mine", "faces-1"), ("yours", "faces-2")):
        run = answered.places.run(name)
        tiny_model(run / "unlearned", 3.0)
        file = save_forget_set(answered.store / "requests", forget_set_of(answered.places, state, request))
        (run / "run.json").write_text(json.dumps({"request_digest": file.parent.name}))
    found = listed(answered, "faces-1")
    assert "runs/mine/unlearned" not in found
    assert found["runs/yours/unlearned"].startswith("an unlearned model that was made from one that may have been")
