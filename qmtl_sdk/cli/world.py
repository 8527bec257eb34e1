"""``qmtl world``: make, read, change and delete worlds, and read what they decided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qmtl_sdk.cli import policy
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import CALL_SECONDS, Reason, Session, World, command, confirmed
from qmtl_sdk.cli.world_options import WorldChange

app = typer.Typer(help="Make worlds, and read what they decided.", rich_markup_mode=None)
app.add_typer(policy.app, name="policy")

Hold = Annotated[
    str, typer.Option("--hold", metavar="NAME", help="Name of the hold. Default: operator.", show_default=False)
]


@app.command("create")
@command
def create(
    session: Session,
    world: World,
    change: WorldChange,
    policy_file: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Upload this policy and put it in force.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Make a world."""
    from qmtl_sdk.cli import tables, worlds

    document = worlds.create(session, world, change, policy.read(policy_file) if policy_file else None, reason)
    session.answer(document, tables.world(document))


@app.command("update")
@command
def update(session: Session, world: World, change: WorldChange, reason: Reason = "") -> None:
    """Change what is stated of a world. Default of every option: unchanged."""
    from qmtl_sdk.cli import tables, worlds

    document = worlds.update(session, world, change, reason)
    session.answer(document, tables.world(document))


@app.command("list")
@command
def list_worlds(session: Session) -> None:
    """List the worlds by name."""
    from qmtl_sdk.cli import worlds
    from qmtl_sdk.cli.tables import rows

    found = worlds.list_all(session)
    columns = {
        "world": "name",
        "mode": "mode",
        "data preset": "data_preset",
        "policy": "active_policy_version",
        "description": "description",
    }
    session.answer({"worlds": found}, rows(found, columns, "no worlds yet: `qmtl world create NAME`"))


@app.command("show")
@command
def show(session: Session, world: World) -> None:
    """Show what is stated of a world."""
    from qmtl_sdk.cli import tables, worlds
    from qmtl_sdk.cli.documents import world_document

    document = world_document(worlds.read(session, world))
    session.answer(document, tables.world(document))


@app.command("status")
@command
def status(session: Session, world: World) -> None:
    """Show where every strategy of a world stands, and why."""
    from qmtl_sdk._pb.qmtl.world.v1 import GetWorldStatusRequest
    from qmtl_sdk.cli.documents import status_document
    from qmtl_sdk.cli.tables import world_status

    request = GetWorldStatusRequest(world=world)
    answer = session.ask(
        lambda gateway: gateway.call(lambda: gateway.worlds.get_world_status(request, timeout=CALL_SECONDS))
    )
    document = status_document(answer)
    session.answer(document, world_status(document))


@app.command("delete")
@command
def delete(
    session: Session,
    world: World,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can be asked.")] = False,
    reason: Reason = "",
) -> int:
    """Delete a world in which nothing is active, with its policies and evaluations.

    The name of a world that had orders cannot be used again.

    Asks first. Exit code 1 when the answer is no, 2 where there is no terminal and no --yes.
    """
    from qmtl_sdk.cli import worlds

    if not yes and not confirmed(f"delete {world}, with its policies and evaluations"):
        session.answer({"deleted": None}, "nothing was deleted")
        return ExitCode.REFUSED
    worlds.delete(session, world, reason)
    session.answer({"deleted": world}, f"deleted {world}")
    return ExitCode.OK


@app.command("freeze")
@command
def freeze(session: Session, world: World, hold: Hold = "", reason: Reason = "") -> None:
    """Emergency stop: freeze a world at once and hold it. Refused by nothing; waits for nobody."""
    from qmtl_sdk.cli import applies

    document = applies.freeze(session, world, hold, reason)
    held = f"{world} is frozen at epoch {document['epoch']}, held by {', '.join(document['holds'])}"
    session.answer(document, f"{held}; `qmtl world resume {world}` ends a hold")


@app.command("resume")
@command
def resume(session: Session, world: World, hold: Hold = "", reason: Reason = "") -> None:
    """End a hold: an apply run with the set that stands opens the world, unless another hold stands."""
    from qmtl_sdk.cli import applies
    from qmtl_sdk.cli.apply_documents import run_document

    run = applies.resume(session, world, hold, reason)
    session.answer(run_document(run), f"run {run.run_id} has begun: `qmtl apply watch {world} {run.run_id}`")


@app.command("reseed")
@command
def reseed(
    session: Session, world: World, reason: Annotated[str, typer.Option("--reason", help="Why, one line.")]
) -> None:
    """Take a world whose streams and database disagree (a restored backup) above everything that was ever seen.

    It is frozen and held by "reseeded" afterwards: `qmtl world resume WORLD --hold reseeded` opens it.
    """
    from qmtl_sdk.cli import applies

    document = applies.reseed(session, world, reason)
    shown = f"{world} goes on at epoch {document['epoch']}, held by {', '.join(document['holds'])}"
    session.answer(document, shown)


@app.command("allocations")
@command
def allocations(session: Session, world: World) -> None:
    """Show how a world's capital is divided."""
    from qmtl_sdk._pb.qmtl.allocation.v1 import AllocationSnapshot, GetAllocationsRequest
    from qmtl_sdk.cli.documents import allocations_document
    from qmtl_sdk.cli.tables import rows
    from qmtl_sdk.report.figures import percent

    request = GetAllocationsRequest(world=world)
    answer = session.ask(
        lambda gateway: gateway.call(lambda: gateway.allocations.get_allocations(request, timeout=CALL_SECONDS))
    )
    document = allocations_document(answer.allocations or AllocationSnapshot(world=world, cash=1.0))
    shares = [{**each, "weight": percent(each["weight"])} for each in document["strategies"]]
    shares.append({"strategy_id": "cash", "weight": percent(document["cash"])})
    session.answer(document, rows(shares, {"strategy": "strategy_id", "weight": "weight"}, ""))


@app.command("report")
@command
def report(
    session: Session,
    world: World,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="Where to write the page.")],
) -> None:
    """Write a page of a world that needs nothing else to be read: equity, drawdown, and every rule."""
    from qmtl_foundation.errors import invalid_field
    from qmtl_sdk.report.collect import collect
    from qmtl_sdk.report.page import render

    page = render(session.ask(lambda gateway: collect(gateway, world)))
    try:
        html.write_text(page, encoding="utf-8")
    except OSError as error:
        raise invalid_field("html", f"{html} cannot be written ({error.strerror}); name another file") from error
    session.answer({"world": world, "html": str(html)}, f"wrote {html}")
