from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest

from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from pipelines.audits import audit_model as module
from pipelines.audits.audit_model import audit_model
from tests.unit.pipelines.reports import report


@pytest.fixture
def order() -> Iterator[list[str]]:
    """What happens, in order; nothing is trained or audited."""
    done: list[str] = []

    @contextmanager
    def session(config: RunConfig) -> Iterator[None]:
        done.append("begin Ray")
        yield
        done.append("end Ray")

    def plan(config: RunConfig, recorded: Any) -> Any:
        done.append(f"plan from {recorded}")
        return Mock()

    def audit(plan: Any, found: Path, samples: Path, local: bool) -> Any:
        samples.write_bytes(b"rows")
        done.append(f"audit {found} local={local}")
        return made

    def page(path: Path, found: Any, samples: Path, title: str) -> None:
        assert found is made
        path.write_text(f"{title}: {samples.read_text()}")

    made = report(RunConfig())
    with (
        patch.object(module, "recorded_of", lambda config, model: f"the record of {model}"),
        patch.object(module, "make_plan", plan),
        patch.object(module, "find_model", autospec=True, side_effect=lambda plan, model: Path("models") / model),
        patch.object(module, "ray_session", session),
        patch.object(module, "train_missing", lambda config, jobs, local: done.append(f"train local={local}")),
        patch.object(module, "audit", audit),
        patch.object(module, "write_report", page),
    ):
        yield done


@pytest.mark.parametrize("local", [True, False])
def test_missing_models_are_trained_before_the_audit_on_ray_unless_local(
    local: bool, order: list[str], tmp_path: Path
) -> None:
    audit_model(RunConfig(), "a", tmp_path / "out", local)
    inner = [f"train local={local}", f"audit models/a local={local}"]
    assert order == ["plan from the record of a", *(inner if local else ["begin Ray", *inner, "end Ray"])]


def test_the_folder_holds_report_page_and_samples(order: list[str], tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    found = audit_model(RunConfig(), "a", out, True)
    assert sorted(p.name for p in out.iterdir()) == ["audit.json", "report.html", "samples.parquet"]
    assert json.loads((out / "audit.json").read_text())["verdict"]["word"] == found.verdict.word
    assert (out / "report.html").read_text() == "audit of a: rows"


def test_a_folder_that_exists_is_refused_before_anything_starts(order: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--out {tmp_path} already exists; name a new folder"):
        audit_model(RunConfig(), "a", tmp_path, True)
    assert order == []


def test_an_audit_that_fails_leaves_no_folder(order: list[str], tmp_path: Path) -> None:
    failing = partial(patch.object, module, "audit", side_effect=RuntimeError("not finite"))
    with failing(), pytest.raises(RuntimeError, match="not finite"):
        audit_model(RunConfig(), "a", tmp_path / "out", True)
    assert list(tmp_path.iterdir()) == []
