"""The ``cu`` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipelines.cli import audits, studies, unlearn
from pipelines.cli.bench import app as bench_app
from pipelines.cli.data import app as data_app
from pipelines.cli.jobs import INTERRUPTED, jobs, stop, submit
from pipelines.cli.sweep import sweep
from pipelines.console import console

EXTRAS = {
    **dict.fromkeys(("ray", "mlflow", "optuna", "pandas", "jinja2", "matplotlib", "psutil"), "ray"),
    **dict.fromkeys(("open_clip", "transformers", "peft"), "clip"),
}
"""What of the project has to be installed for a module that is missing."""
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make a trained model forget part of its training data, and prove it against a retrained oracle. "
    "Start with `cu quickstart`; then `cu unlearn tune_configs/base/digits_class.yaml`.",
)
app.add_typer(data_app, name="data", help="Pack, look at and verify data sets in Arrow shards.")
app.add_typer(bench_app, name="bench", help="Measure a step, and how many workers pay.")


def methods(
    name: Annotated[str | None, typer.Argument(help="One method, with every setting explained; absent: all.")] = None,
) -> None:
    """List the unlearning methods: what they need, their settings and their sources."""
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
    """Entry point: a user's mistake is one line and exit status 2; an interrupt is 130; a bug keeps its traceback."""
    try:
        app()
    except SystemExit as stopped:
        if stopped.code == INTERRUPTED and sys.argv[1:2] not in (["submit"], ["jobs"]):  # whose job goes on
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
