from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from pipelines.audits.calibrate_models import Amounts
from tests.unit.pipelines.commands import Cu


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["--explain", "klom"], "cu explain klom."),
        (["--tier", "strong"], "cu audit-strong CONFIG --models N."),
        (["--models", "8"], "cu audit-strong CONFIG --models 8."),
        (["--schema"], "cu schema."),
    ],
)
def test_former_options_name_the_command_that_replaced_them(words: list[str], new: str, cu: Cu) -> None:
    ran = cu("audit", "model", *words)
    assert (ran.status, ran.err) == (2, f"cu: cu audit has no such option any more: {new}\n")


def test_audit_passes_on_the_model_and_prints_where_the_report_is(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        patch("pipelines.run.saved_models.config_of", autospec=True) as config_of,
        patch("pipelines.audits.audit_model.audit_model", autospec=True) as audit_model,
        patch("pipelines.report.terminal.end_table", autospec=True, return_value="the table") as end_table,
    ):
        ran = cu("audit", "model", "seed=1", "--config", run_file, "--local", "--out", out)
    assert ran.status == 0
    config_of.assert_called_once_with("model", run_file, ["seed=1"])
    audit_model.assert_called_once_with(config_of.return_value, "model", out, True)
    end_table.assert_called_once_with(audit_model.return_value)
    assert ran.err == f"the table\nreport  {out}/report.html\n"


def test_audit_without_options_runs_on_ray_and_writes_to_audit(
    cu: Cu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CU_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    with (
        patch("pipelines.run.saved_models.config_of", autospec=True) as config_of,
        patch("pipelines.audits.audit_model.audit_model", autospec=True) as audit_model,
        patch("pipelines.report.terminal.end_table", autospec=True, return_value=""),
    ):
        assert cu("audit", "model").status == 0
    config_of.assert_called_once_with("model", None, [])
    (_, model, out, local) = audit_model.call_args.args
    assert (model, out.resolve(), local) == ("model", tmp_path / "audit", False)


def test_audit_strong_passes_on_settings_and_number_of_models(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    with (
        patch("pipelines.audits.strong_audit.strong_audit", autospec=True) as strong,
        patch("pipelines.audits.strong_audit.table", autospec=True, return_value="the table"),
    ):
        ran = cu("audit-strong", run_file, "seed=1", "--out", tmp_path / "o")
        cu("audit-strong", run_file, "--models", 8)
    settings, models, out = strong.call_args_list[0].args
    assert (settings.seed, models, out) == (1, 16, tmp_path / "o")
    assert strong.call_args_list[1].args[:2] == (strong.call_args_list[1].args[0], 8)
    assert ran.err == f"the table\nwritten to {tmp_path / 'o'}\n"


def test_a_metric_is_explained_on_stdout_and_an_unknown_one_in_one_line(cu: Cu) -> None:
    ran = cu("explain", "u_lira_auc")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("u_lira_auc: a figure of cu audit-strong\n")
    wrong = cu("explain", "u_lira_acu")
    assert (wrong.status, wrong.out, wrong.err.count("\n")) == (2, "", 1)
    assert "u_lira_acu" in wrong.err


def test_the_schema_is_json_of_the_report(cu: Cu) -> None:
    schema = json.loads(cu("schema").out)
    assert schema["title"] == "AuditReport"
    assert {"verdict", "rows", "gap", "limits"} <= schema["properties"].keys()


def test_calibrate_passes_on_amounts(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    with (
        patch("pipelines.audits.calibrate.calibrate", autospec=True) as measure,
        patch("pipelines.audits.calibrate.table", autospec=True, return_value="the table") as table,
    ):
        ran = cu("calibrate", run_file, "seed=1")
        amounts = ["--left", 1, "--left", 2.5, "--lost", 10, "--noise", 20, "--replicates", 4]
        cu("calibrate", run_file, "--against", 3, "--against", 6, *amounts, "--out", tmp_path / "t.md")
    (settings, *rest), (_, *given) = (call.args for call in measure.call_args_list)
    assert (settings.seed, rest) == (1, [[5], Amounts((), (), (), 3), None])
    assert given == [[3, 6], Amounts([1, 2.5], [10], [20], 4), tmp_path / "t.md"]
    table.assert_called_with(measure.return_value)
    assert ran.err == "the table\n"


def test_scores_are_written_to_the_file_that_is_named(cu: Cu, run_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    with patch("pipelines.audits.memorisation.score_rows", autospec=True) as score_rows:
        ran = cu("score", run_file, "seed=4", "--out", out)
    settings, file = score_rows.call_args.args
    assert (settings.seed, file) == (4, out)
    assert (ran.status, ran.err.replace("\n", "")) == (0, f"written to {out}")
