from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest
import yaml

from pipelines.cli.unlearn import INCONCLUSIVE
from tests.unit.pipelines.commands import Cu


@pytest.fixture
def run_job() -> Iterator[Mock]:
    report = SimpleNamespace(verdict=SimpleNamespace(word="inconclusive"))
    finished = SimpleNamespace(
        report=report, folder=SimpleNamespace(path=Path("/runs/a"), unlearned=Path("/runs/a/unlearned"))
    )
    with (
        patch("pipelines.run.job.run_job", autospec=True, return_value=finished) as run,
        patch("pipelines.report.terminal.end_table", autospec=True, return_value="the table"),
    ):
        yield run


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"local": False, "resume": None}),
        (["--local"], {"local": True, "resume": None}),
        (["--resume", "a"], {"local": False, "resume": "a"}),
    ],
)
def test_a_run_starts_with_what_is_given(
    words: list[str], expected: dict[str, object], run_job: Mock, cu: Cu, run_file: Path
) -> None:
    ran = cu("unlearn", run_file, "train.epochs=2", *words)
    told = f"the table\n{INCONCLUSIVE}\nmodel   /runs/a/unlearned\nreport  /runs/a/report.html\n"
    assert (ran.status, ran.err) == (0, told)
    (settings,) = run_job.call_args.args
    assert (settings.seed, settings.train.epochs, settings.workers.profile) == (3, 2, False)
    assert run_job.call_args.kwargs == expected


def test_profile_is_a_setting_of_the_workers(run_job: Mock, cu: Cu, run_file: Path) -> None:
    cu("unlearn", run_file, "--profile")
    assert run_job.call_args.args[0].workers.profile


@pytest.mark.parametrize("command", ["unlearn", "train"])
def test_print_config_shows_the_resolved_settings_and_runs_nothing(
    command: str, run_job: Mock, cu: Cu, run_file: Path
) -> None:
    with patch("pipelines.run.training.train_wanted", autospec=True) as train:
        ran = cu(command, run_file, "train.epochs=2", "--print-config")
    assert (ran.status, ran.err) == (0, "")
    shown = yaml.safe_load(ran.out)
    assert (shown["seed"], shown["train"]["epochs"], shown["method"]["name"]) == (3, 2, "contrastive")
    run_job.assert_not_called()
    train.assert_not_called()


def test_a_dry_run_describes_and_runs_nothing(run_job: Mock, cu: Cu, run_file: Path) -> None:
    with patch("pipelines.run.dry_run.describe_run", autospec=True) as describe:
        ran = cu("unlearn", run_file, "--dry-run", "seed=4")
    assert ran.status == 0
    assert describe.call_args.args[0].seed == 4
    run_job.assert_not_called()


def test_train_lists_the_models(cu: Cu, run_file: Path) -> None:
    job = SimpleNamespace(label="train original", folder=Path("/models/a"))
    with patch("pipelines.run.training.train_wanted", autospec=True, return_value=[job]) as train:
        ran = cu("train", run_file)
        cu("train", run_file, "seed=4", "--oracles", "--local")
    assert (ran.status, ran.err) == (0, "train original: /models/a\n")
    assert [call.args[0].seed for call in train.call_args_list] == [3, 4]
    assert [call.kwargs for call in train.call_args_list] == [
        {"oracles": False, "local": False},
        {"oracles": True, "local": True},
    ]


@pytest.mark.parametrize("adapter", [False, True])
def test_export_lists_what_it_wrote(adapter: bool, cu: Cu, run_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "e"
    with (
        patch("pipelines.run.saved_models.config_of", autospec=True) as config_of,
        patch("pipelines.run.export.export", autospec=True, return_value=["a.pt", "b.json"]) as export,
    ):
        words = ["--adapter"] if adapter else []
        ran = cu("export", "model", "seed=4", "--config", run_file, "--out", out, *words)
    config_of.assert_called_once_with("model", run_file, ["seed=4"])
    export.assert_called_once_with(config_of.return_value, "model", out, adapter)
    assert (ran.status, ran.err) == (0, f"{out}: a.pt, b.json\n")


def test_quickstart_passes_on_its_options(cu: Cu) -> None:
    with patch("pipelines.cli.quickstart.run_quickstart", autospec=True) as run:
        assert cu("quickstart").status == 0
        cu("quickstart", "--data", "fashion-mnist:a", "--storage", "there", "--clip")
    assert [call.args for call in run.call_args_list] == [
        ("digits", "outputs", False),
        ("fashion-mnist:a", "there", True),
    ]
