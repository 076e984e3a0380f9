from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cu_core.errors import ConfigError
from cu_core.storage import cache
from pipelines.cli import arguments
from pipelines.cli.arguments import TableOut, settings_of


def test_overrides_replace_settings_of_the_file(run_file: Path) -> None:
    assert settings_of(run_file, None).seed == 3
    found = settings_of(run_file, ["seed=5", "train.epochs=2"])
    assert (found.seed, found.train.epochs) == (5, 2)


@pytest.mark.parametrize(
    ("overrides", "message"), [(["seed"], "must have the form key.path=value"), (["sead=5"], "did you mean seed")]
)
def test_overrides_that_are_none_are_refused(overrides: list[str], message: str, run_file: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_of(run_file, overrides)


def test_a_configuration_at_an_address_is_fetched(
    tmp_path: Path, run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    app = typer.Typer()

    @app.command()
    def show(config: arguments.Config) -> None:
        seen.append((config, settings_of(config, None).seed))

    monkeypatch.chdir(tmp_path)
    for text in (f"file://{run_file}", "run.yaml"):
        assert CliRunner().invoke(app, [text]).exit_code == 0
    (fetched, seed), here = seen
    assert (fetched.is_relative_to(cache()), seed) == (True, 3)
    assert here == (Path("run.yaml"), 3)


def test_a_table_goes_under_the_root_that_all_machines_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path | None] = []
    app = typer.Typer()

    @app.command()
    def show(out: TableOut = None) -> None:
        seen.append(out)

    monkeypatch.setenv("CU_ROOT", str(tmp_path))
    for words in ([], ["--out", "a/table.md"], ["--out", "/b.md"], ["--out", "s3://bucket/c.md"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert seen == [None, tmp_path / "a" / "table.md", Path("/b.md"), cache() / "s3" / "bucket" / "c.md"]
    assert CliRunner().invoke(app, ["--out", "ftp://bucket/c.md"]).exit_code != 0
    assert len(seen) == 4
