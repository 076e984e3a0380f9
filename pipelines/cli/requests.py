"""``cu requests``: deletion requests to one model, one after another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cu_core.errors import ConfigError, UserError
from cu_core.storage import named_file, place, shown
from cu_core.yaml_io import read_yaml
from pipelines.cli.arguments import Config, Local, Overrides
from pipelines.cli.selection import check_selection, list_of_ids, selection
from pipelines.console import console, counted

if TYPE_CHECKING:
    from pipelines.requests.answer import Answered
    from pipelines.requests.places import Places

app = typer.Typer(no_args_is_help=True)
Storage = Annotated[
    Path, typer.Option("--storage", parser=place, metavar="PATH", help="Folder or address of the model's storage.")
]
STORAGE = Path("outputs")
ModelName = Annotated[str, typer.Argument(help="Name that `cu requests open` gave the model.")]
RequestId = Annotated[str, typer.Argument(metavar="ID", help="A request, e.g. faces-3.")]
RetrainWhen = Annotated[
    Path | None, typer.Option("--retrain-when", help="YAML file: when a retrained model is due. Default: the model's.")
]


def _say(*lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _next(words: str, storage: Path) -> str:
    """The command that usually follows."""
    elsewhere = "" if storage == place(STORAGE) else f" --storage {shown(storage)}"
    return f"next    cu requests {words}{elsewhere}"


@app.command("open")
def open_command(
    model: Annotated[str, typer.Argument(help="Name for the model, also that of its registered model in MLflow.")],
    config: Config,
    overrides: Overrides = None,
    retrain_when: Annotated[
        Path | None, typer.Option("--retrain-when", help="YAML file: when a retrained model is due.")
    ] = None,
) -> None:
    """Begin the ledger of a model: its data, original and method are those of the configuration.

    The configuration's own request is not used. Its storage holds the ledger.
    """
    read_yaml(config)
    from pipelines.requests.opened import open_model
    from pipelines.requests.policy import read_policy

    places, opened = open_model(model, config, overrides or [], read_policy(retrain_when))
    _say(f"{model} is open in {shown(places.store)}: data {opened.data.path}, model {opened.model.name}")
    _say(_next(f"add {model} ...", places.store))


@app.command()
def add(
    model: ModelName,
    ids: Annotated[
        str | None,
        typer.Option("--ids", metavar="FILE|-", help="List of ids: text, CSV, JSON lines, Parquet; -: stdin."),
    ] = None,
    where: Annotated[str | None, typer.Option("--where", help="Expression over columns, e.g. 'user_id == 17'.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Number or name of a class. May be given several times.")
    ] = None,
    concept: Annotated[
        list[str] | None,
        typer.Option(
            "--concept", help="Words of captions; data without captions: use --class. Further ones: synonyms."
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="With --ids: column of the ids, in the list and in the data.")
    ] = None,
    missing: Annotated[
        Literal["refuse", "note"] | None,
        typer.Option("--missing", help="With --ids: ids that are not in the training rows. Default: refuse."),
    ] = None,
    duplicates: Annotated[
        Literal["ignore", "report", "include"],
        typer.Option("--duplicates", help="Copies of the rows: leave them unsought, count them, or forget them too."),
    ] = "ignore",
    reason: Annotated[
        str, typer.Option("--reason", help="Kept with the request, not in the ledger; `show` shows it.")
    ] = "",
    due: Annotated[str | None, typer.Option("--due", metavar="DATE", help="Day by which it must be answered.")] = None,
    storage: Storage = STORAGE,
) -> None:
    """Enter a request: its rows are found and counted, nothing is unlearned yet."""
    check_selection(ids=ids, where=where, classes=classes, concept=concept)
    if ids is None and (key or missing):
        raise ConfigError(f"{'--key' if key else '--missing'} belongs to --ids.")
    from pipelines.requests.places import known_model

    places = known_model(storage, model)
    from pipelines.requests.intake import add_request

    with list_of_ids(ids, places.intake) as file:
        if ids is not None:
            request: dict[str, Any] = {"kind": "by_id", "path": file, "column": key, "missing": missing or "refuse"}
        else:
            request = selection(where, classes, concept)
        received = add_request(places, {**request, "duplicates": duplicates}, reason, due)
    _say(f"{received.id} is entered:", *received.lines, _next("run", storage))


@app.command("list")
def list_command(
    model: Annotated[str | None, typer.Argument(help="One model. Default: all of the storage.")] = None,
    storage: Storage = STORAGE,
) -> None:
    """List requests and their states."""
    import datetime

    from pipelines.requests.listing import list_table

    table = list_table(storage, model, datetime.date.today())
    if table.row_count:
        console.print(table)
    else:
        _say("no request is entered yet", _next(f"add {model or 'MODEL'} ...", storage))


def _of(storage: Path, request: str) -> Places:
    from pipelines.requests.places import of_request

    return of_request(storage, request)


@app.command()
def show(
    request: RequestId,
    contains: Annotated[
        str | None, typer.Option("--contains", metavar="VALUE", help="Say whether this id is among the request's rows.")
    ] = None,
    storage: Storage = STORAGE,
) -> None:
    """Show what the ledger says of a request, and what was asked. With --contains, exit status 1 if the id is not in
    it."""
    if contains == "":
        raise ConfigError("--contains: must be an id, got an empty text.")
    places = _of(storage, request)
    from pipelines.requests.listing import asked_lines, show_lines
    from pipelines.requests.state import state_of

    state = state_of(places.ledger.read())
    _say(*show_lines(state, request), *asked_lines(places, state, request))
    if contains is None:
        return
    from pipelines.requests.contained import contains as held

    if not held(places, state, request, contains):
        _say(f"the id is not among the rows of {request}")
        raise typer.Exit(1)
    _say(f"the id is among the rows of {request}")


@app.command()
def cancel(request: RequestId, storage: Storage = STORAGE) -> None:
    """Cancel a request that is not answered yet."""
    places = _of(storage, request)
    from pipelines.requests.intake import cancel_request

    entry = cancel_request(places, request)
    _say(f"{request} is cancelled (entry {entry.number})")


@app.command()
def run(
    requests: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Requests of one model. Default: all pending ones.")
    ] = None,
    local: Local = False,
    storage: Storage = STORAGE,
) -> None:
    """Unlearn pending requests of a model as one batch, from the current version, and audit all that was forgotten.

    An interrupted run goes on. The new version has the alias `current` in MLflow, the one before `previous`. Without
    ID, the requests of every model in the storage are answered; a model that cannot be is told, and the others go on.
    """
    from pipelines.requests.places import all_models, known_model, model_of

    places = [known_model(storage, model_of(storage, requests))] if requests else all_models(storage)
    from pipelines.requests.answer import answer

    failed = []
    for one in places:
        try:
            _tell(one, answer(one, requests or [], local))
        except UserError as error:
            if len(places) == 1:
                raise
            failed.append(one.model)
            _say(f"{one.model}: {error}")
    if failed:
        raise ConfigError(f"the requests of {', '.join(failed)} were not answered (above), those of the others were.")


def _tell(places: Places, done: Answered | None) -> None:
    if done is None:
        _say(f"{places.model}: no request is pending")
    elif done.report is None or done.folder is None:
        names = ", ".join(done.entry.fields["answered_by"])
        _say(f"{places.model}: {names} covered: every row was forgotten before (entry {done.entry.number})")
    else:
        from pipelines.report.terminal import end_table

        console.print(end_table(done.report))
        names = ", ".join(done.entry.fields["requests"])
        _say(f"{places.model}: {names} answered in entry {done.entry.number}")
        _say(f"model   {shown(done.folder.unlearned)}", f"report  {shown(done.folder.path / 'report.html')}")
        _say(_next(f"certificate {done.entry.fields['requests'][0]}", places.store))


@app.command()
def status(model: ModelName, retrain_when: RetrainWhen = None, storage: Storage = STORAGE) -> None:
    """Show the versions of a model, how far each is from retrained models, what waits, and whether to retrain."""
    import datetime

    from pipelines.requests.places import known_model

    places = known_model(storage, model)
    from pipelines.requests.listing import drift_table, status_lines
    from pipelines.requests.policy import read_policy
    from pipelines.requests.state import state_of

    policy = read_policy(retrain_when) if retrain_when else None
    state = state_of(places.ledger.read())
    lines = status_lines(places, state, policy, datetime.date.today())
    console.print(drift_table(state))
    _say(*lines)


@app.command("roll-back")
def roll_back_command(model: ModelName, storage: Storage = STORAGE) -> None:
    """Make the version before the current one current again. The requests that are lost thereby are pending again."""
    from pipelines.requests.places import known_model

    places = known_model(storage, model)
    from pipelines.requests.answer import roll_back

    entry = roll_back(places)
    _say(f"{model}: current is {entry.fields['to']} (entry {entry.number})")
    _say(f"{counted(len(entry.fields['requests']), 'request')} pending again: {', '.join(entry.fields['requests'])}")


@app.command()
def certificate(
    request: RequestId,
    key: Annotated[
        Path | None, typer.Option("--key", help="Private key in PEM to sign with. Without one it is not signed.")
    ] = None,
    storage: Storage = STORAGE,
) -> None:
    """Write the certificate of an answered request: JSON (in-toto, DSSE) and a page for a browser or print."""
    places = _of(storage, request)
    from pipelines.requests.issue import issue

    file, signed = issue(places, request, key)
    _say(f"certificate  {shown(file)}", f"page         {shown(file.with_suffix('.html'))}")
    _say(f"signed with the key {signed}" if signed else "not signed: give --key FILE to sign it")
    _say(_next(f"verify {shown(file)}{' --key PUBLIC.pem' if signed else ''}", storage))


@app.command("verify")
def verify_command(
    file: Annotated[
        Path, typer.Argument(metavar="CERTIFICATE", parser=named_file, help="The JSON file; an address too.")
    ],
    key: Annotated[
        Path | None, typer.Option("--key", help="Public key in PEM with which the certificate must be signed.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--replay", help="Also unlearn again from the recorded model, and compare the weights.")
    ] = False,
    storage: Storage = STORAGE,
) -> None:
    """Compare a certificate with its signature, the ledger, and what lies in the storage. Exit status 2: it differs."""
    from pipelines.requests.verify import verify

    found = verify(file, storage, key)
    _say(*found.notes)
    if again and not found.problems:
        from pipelines.requests.replay import replay

        problems, notes = replay(found.places, found.entry)
        found.problems += problems
        _say(*notes)
    elif again:
        _say("replay: left out, what it would begin from is not sound")
    if found.problems:
        for line in found.problems:
            print(line)
        raise ConfigError(f"{shown(file)}: {counted(len(found.problems), 'problem')} found.")
    _say(f"{shown(file)}: sound; {found.request} was answered in entry {found.entry}")


@app.command()
def purge(
    request: RequestId,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the rows out of tables, and delete reports, caches and checkpoints.")
    ] = False,
    storage: Storage = STORAGE,
) -> None:
    """List what in the storage still holds rows of an answered request; with --remove, remove what can be removed.

    Models, versions for roll-back, and the ids of the rows are kept and listed.
    """
    places = _of(storage, request)
    from pipelines.requests.purge import holders, purge_lines
    from pipelines.requests.purge import purge as remove_rows
    from pipelines.requests.state import state_of

    for line in purge_lines(places, holders(places, state_of(places.ledger.read()), request)):
        print(line)
    if remove:
        entry = remove_rows(places, request)
        done = len(entry.fields["rewritten"]) + len(entry.fields["deleted"])
        _say(f"{counted(done, 'place')} purged, {entry.fields['kept']} kept (entry {entry.number})")
    else:
        _say("nothing was changed; --remove does what the first word of each line says")
    _say(
        "not looked at: files written with --out, the folder CU_CACHE of each machine, an MLflow server elsewhere, "
        "copies of the data, backups (docs/guides/requests-over-time.md)"
    )
