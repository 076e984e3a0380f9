"""The ``cu`` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipelines.cli import audits, studies, unlearn
from pipelines.cli.bench import app as bench_app
from pipelines.cli.data import app as data_app
from pipelines.cli.jobs import INTERRUPTED, jobs, stop, submit
from pipelines.cli.requests import app as requests_app
from pipelines.cli.sweep import sweep
from pipelines.console import console

EXTRAS = {
    **dict.fromkeys(("ray", "mlflow", "optuna", "pandas", "jinja2", "matplotlib", "psutil", "securesystemslib"), "ray"),
    "boto3": "cluster",
    **dict.fromkeys(("open_clip", "transformers", "peft"), "clip"),
}
"""Missing module -> the extra of this project that installs it."""
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Remove the influence of training data from a trained model, and compare the result with retrained models. "
    "Start with `cu quickstart`; then `cu unlearn tune_configs/base/digits_class.yaml`.",
)
app.add_typer(
    requests_app, name="requests", help="Answer deletion requests to a model, with a ledger and certificates."
)
app.add_typer(
    data_app, name="data", help="Pack, inspect and verify data sets in Arrow shards; find copies of rows, drop rows."
)
app.add_typer(bench_app, name="bench", help="Measure a step, several workers, and the start of commands.")


def methods(
    name: Annotated[str | None, typer.Argument(help="One method, with all its settings. Default: all methods.")] = None,
) -> None:
    """List the unlearning methods with their requirements, settings and sources."""
    from pipelines.cli.methods import show_methods

    show_methods(name)


for command in (
    unlearn.quickstart,
    unlearn.unlearn,
    unlearn.train,
    unlearn.export,
    audits.audit,
    audits.audit_strong,
    audits.explain,
    audits.schema,
    audits.calibrate,
    audits.score,
    studies.compare,
    studies.repeat,
    sweep,
    methods,
    submit,
    jobs,
    stop,
):
    app.command()(command)


def main() -> None:
    """Run ``cu``. A user's mistake gives one line and exit status 2, an interrupt gives 130, a bug its traceback."""
    try:
        app()
    except SystemExit as stopped:
        if stopped.code == INTERRUPTED and sys.argv[1:2] not in (["submit"], ["jobs"]):  # their job continues
            console.print(
                "interrupted; what is finished is kept. cu unlearn and cu sweep go on with --resume and the name they "
                "printed, other commands when they are started again."
            )
        raise
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"cu: {error.name} is not installed: pip install 'contrastive-unlearning[{extra}]'.", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        from pipelines.errors import explain

        line = explain(error)
        if line is None:
            raise
        print(f"cu: {line}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
