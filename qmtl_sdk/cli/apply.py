"""``qmtl apply``: begin runs that replace what may trade in a world, follow them, undo them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Reason, Session, WatchInterruptedError, World, command

if TYPE_CHECKING:
    from qmtl_sdk._pb.qmtl.apply.v1 import ApplyRun

app = typer.Typer(help="Replace what may trade in a world.", rich_markup_mode=None)

Run = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


@app.command("start")
@command
def start(
    session: Session,
    world: World,
    run_id: Annotated[
        str | None, typer.Option("--run-id", help="Id of the run; the same again begins nothing twice. Default: new.")
    ] = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(
            "--plan",
            metavar="STRATEGY=WEIGHT",
            help="What shall trade, in place of everything; repeatable. Default: what the newest round says.",
        ),
    ] = None,
    plan_file: Annotated[
        Path | None,
        typer.Option("--plan-file", metavar="FILE", help="The same as YAML: activations, each strategy_id and weight."),
    ] = None,
    base: Annotated[
        str, typer.Option("--base", metavar="HASH", help="The set's state_hash that the plan was made on.")
    ] = "",
    queue: Annotated[bool, typer.Option("--queue", help="Wait for the run under way, if there is one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and begin nothing.")] = False,
    reason: Reason = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
) -> int:
    """Begin an apply run and follow it to its end.

    Exit code 0 when it completes, 3 when it is rolled back or aborted. Ctrl-C ends the watch, not the run.
    """
    from qmtl_sdk.cli import applies

    if plan and plan_file is not None:
        raise typer.BadParameter("state the plan once: leave out one of --plan and --plan-file")
    stated = applies.read_plan_file(plan_file) if plan_file is not None else applies.parse_plan(plan or ())
    request = applies.start_request(world, run_id, stated, reason)
    request.base_state_hash, request.queue, request.validate_only = base, queue, dry_run
    run = applies.start(session, request)
    if wait and not dry_run:
        return _followed(session, world, run.run_id)
    return _shown(session, run)


@app.command("show")
@command
def show(session: Session, world: World, run: Run) -> int:
    """Show an apply run with its timeline."""
    from qmtl_sdk.cli import applies

    return _shown(session, applies.read(session, world, run))


@app.command("list")
@command
def list_runs(session: Session, world: World) -> None:
    """List a world's apply runs, the newest first."""
    from qmtl_sdk.cli import applies
    from qmtl_sdk.cli.apply_documents import run_document
    from qmtl_sdk.cli.tables import rows

    found = [run_document(run) for run in applies.list_all(session, world)]
    columns = {
        "run": "run_id",
        "phase": "phase",
        "epoch": "epoch",
        "asked for": "create_time",
        "ended": "end_time",
        "why": "reason",
    }
    session.answer({"runs": found}, rows(found, columns, f"no runs yet: `qmtl apply start {world}`"))


@app.command("watch")
@command
def watch(session: Session, world: World, run: Run) -> int:
    """Follow an apply run to its end: live on a terminal, else one line for each change.

    Exit code 0 when it completes, 3 when it is rolled back or aborted. Ctrl-C ends the watch, not the run.
    """
    return _followed(session, world, run)


@app.command("rollback")
@command
def rollback(
    session: Session,
    world: World,
    run: Run,
    reason: Annotated[str, typer.Option("--reason", help="Why, one line.")],
) -> int:
    """Undo an apply run that is not over."""
    from qmtl_sdk.cli import applies

    return _shown(session, applies.roll_back(session, world, run, reason))


def _followed(session: Session, world: str, run_id: str) -> int:
    from qmtl_sdk.cli import applies
    from qmtl_sdk.cli.apply_documents import exit_code_of_run, run_document
    from qmtl_sdk.cli.apply_view import shown_run

    with shown_run(None if session.json else plain_console()) as take:
        try:
            run = applies.follow(session, world, run_id, take)
        except KeyboardInterrupt as error:
            message = f"run {run_id} of {world} goes on: `qmtl apply watch {world} {run_id}`"
            raise WatchInterruptedError(message) from error
    if session.json:
        session.answer(run_document(run))
    return exit_code_of_run(run)


def _shown(session: Session, run: ApplyRun) -> int:
    from qmtl_sdk.cli.apply_documents import run_document
    from qmtl_sdk.cli.apply_view import run_view

    session.answer(run_document(run), run_view(run))
    return ExitCode.OK
