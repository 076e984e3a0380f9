from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest

from cu_core.config import RunConfig
from cu_core.config_io import load_config
from cu_core.data.convert import SplitPlan
from cu_core.data.sources import SourceOptions
from cu_core.errors import ConfigError
from pipelines.cli import quickstart
from pipelines.cli.quickstart import CAPTIONS, CONFIGS, RECIPES, bin_folder, run_quickstart


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Packing and the run are only called, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def finish(config: RunConfig) -> SimpleNamespace:
        return SimpleNamespace(report=None, folder=SimpleNamespace(path=Path("the run")), config=config)

    with (
        patch.object(quickstart, "pack", autospec=True) as pack,
        patch.object(quickstart, "run_job", autospec=True, side_effect=finish) as run,
        patch.object(quickstart, "end_table", Mock(return_value="the table")),
    ):
        yield SimpleNamespace(pack=pack, run=run)


@pytest.mark.parametrize(
    ("data", "clip"), [("cifar10:a", False), ("fashion-mnist:a", True), ("", False), ("digits-captions-captions", True)]
)
def test_data_without_a_recipe_are_refused(data: str, clip: bool, heavy: SimpleNamespace) -> None:
    with pytest.raises(ConfigError, match=f"^--data {data}: quickstart knows digits and fashion-mnist:DIR"):
        run_quickstart(data, "outputs", clip)
    heavy.pack.assert_not_called()
    heavy.run.assert_not_called()


def test_every_recipe_is_a_configuration_of_the_repository() -> None:
    assert [file for file, _ in RECIPES.values() if not (CONFIGS / file).is_file()] == []


def test_outside_a_clone_it_says_what_is_missing(
    heavy: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickstart, "CONFIGS", tmp_path)
    with pytest.raises(ConfigError, match=r"no .*digits_class\.yaml: run quickstart from a clone"):
        run_quickstart("digits", "outputs")
    heavy.pack.assert_not_called()


def test_data_are_packed_and_unlearned_on_two_workers(
    heavy: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run_quickstart("digits", "there")
    packed = Path("data/digits")
    assert heavy.pack.call_args.args[:4] == ("digits", packed, SplitPlan(0.2, 0.2), SourceOptions())
    (config,) = heavy.run.call_args.args
    assert (config.workers.count, config.storage, config.data.path) == (2, "there", "data/digits")
    assert config.request.classes == (5,)
    said = capsys.readouterr().err
    assert "report       the run/report.html" in said
    assert "cu unlearn tune_configs/base/digits_class.yaml request.classes=[3]" in said


def test_with_clip_digits_get_captions_and_a_folder_of_their_own(
    heavy: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run_quickstart("digits", "there", clip=True)
    packed = Path("data/digits-captions")
    assert heavy.pack.call_args.args[1:4] == (packed, SplitPlan(0.2, 0.2), SourceOptions(captions=CAPTIONS))
    (config,) = heavy.run.call_args.args
    assert (config.model.reads_captions, config.data.path) == (True, "data/digits-captions")
    assert "cu unlearn tune_configs/base/digits_clip.yaml 'request.concept=\"3\"'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "file"), [(quickstart.NEXT, "digits_class.yaml"), (quickstart.NEXT_CLIP, "digits_clip.yaml")]
)
def test_what_it_says_to_try_next_has_settings_that_exist(told: str, file: str) -> None:
    for line in told.format(bin="", file=f"tune_configs/base/{file}").splitlines():
        _, _, config, *overrides = [word for word in shlex.split(line, comments=True) if word != "--dry-run"]
        assert load_config(CONFIGS / Path(config).name, overrides)


def test_a_folder_of_idx_files_is_packed_by_its_own_plan(heavy: SimpleNamespace) -> None:
    run_quickstart("fashion-mnist:a:b", "there")
    plan = SplitPlan(val_frac=0.2, train_rows=10_000)
    assert heavy.pack.call_args.args[:3] == ("fashion-mnist:a:b", Path("data/fashion-mnist"), plan)


def test_data_that_are_packed_are_not_packed_again(heavy: SimpleNamespace) -> None:
    Path("data/digits").mkdir(parents=True)
    Path("data/digits/manifest.json").touch()
    run_quickstart("digits", "there")
    heavy.pack.assert_not_called()
    heavy.run.assert_called_once()


@pytest.mark.parametrize(("script", "shown"), [("/home/user/.venv/bin/cu", ".venv/bin/"), ("/usr/bin/cu", "")])
def test_commands_are_shown_as_they_can_be_typed(script: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [script])
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/user"))
    assert bin_folder() == shown
