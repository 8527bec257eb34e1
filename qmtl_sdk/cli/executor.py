"""``qmtl executor``: who takes a world's orders, and the process that does so on paper."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmtl_sdk.cli.session import Session, World, command

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Say who takes a world's orders.", rich_markup_mode=None)

Executor = Annotated[str, typer.Argument(metavar="EXECUTOR", help="Name of the executor.")]


@app.command("list")
@command
def list_executors(session: Session, world: World) -> None:
    """List a world's executors by name, with what each says it holds."""
    from qmtl_sdk.cli import applies
    from qmtl_sdk.cli.apply_documents import enrolment_document
    from qmtl_sdk.cli.tables import rows

    found = [enrolment_document(each) for each in applies.list_executors(session, world)]
    columns = {
        "executor": "executor",
        "mode": "mode",
        "fenced epoch": "fenced_epoch",
        "open": "is_open",
        "heard of": "renew_time",
        "position": "holds",
    }
    told = [{**each, "holds": _holdings(each)} for each in found]
    empty = f"no executors yet: `qmtl executor enrol {world} EXECUTOR --mode paper`"
    session.answer({"executors": found}, rows(told, columns, empty))


@app.command("enrol")
@command
def enrol(
    session: Session,
    world: World,
    executor: Executor,
    mode: Annotated[str, typer.Option("--mode", help="Whose orders it takes: paper or live.")],
) -> None:
    """Let an executor take a world's orders in one mode."""
    from qmtl_sdk.cli import applies
    from qmtl_sdk.cli.apply_documents import enrolment_document

    document = enrolment_document(applies.enrol(session, world, executor, mode))
    session.answer(document, f"{executor} takes the {document['mode']} orders of {world}")


@app.command("deregister")
@command
def deregister(session: Session, world: World, executor: Executor) -> None:
    """Let an executor leave a world, and show the position that it leaves behind."""
    from qmtl_sdk.cli import applies
    from qmtl_sdk.cli.apply_documents import enrolment_document

    document = enrolment_document(applies.deregister(session, world, executor))
    session.answer(document, f"{executor} has left {world}", _left_behind(document))


@app.command("paper")
@command
def paper(session: Session) -> None:
    """Run a paper executor in place of this command, by the QMTL_ settings of an executor in the environment."""
    from qmtl_sdk.extras import check_server_installed

    if session.json:
        raise typer.BadParameter("an executor runs until it is stopped, and so answers no JSON; leave out --output")
    check_server_installed()
    os.execv(sys.executable, (sys.executable, "-m", "qmtl_executor"))  # noqa: S606  # no shell is wanted


def _left_behind(document: dict[str, Any]) -> RenderableType:
    from qmtl_sdk.cli.tables import rows

    columns = {"strategy": "strategy_id", "symbol": "symbol", "shares": "quantity"}
    return rows(document["positions"], columns, "it leaves no position behind")


def _holdings(document: dict[str, Any]) -> str:
    return ", ".join(
        f"{each['strategy_id']} {each['symbol']} {each['quantity']:,.15g}" for each in document["positions"]
    )
