"""``qmtl audit``: read what was done in a world, and verify that nothing of it was changed or taken away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command

if TYPE_CHECKING:
    from qmtl_sdk.cli.documents import Document

app = typer.Typer(help="Read what was done in worlds, and verify it.", rich_markup_mode=None)


@app.command("list")
@command
def list_entries(
    session: Session,
    world: Annotated[str, typer.Argument(metavar="WORLD", help="Name of the world; it may be deleted.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many.")] = 20,
) -> None:
    """List what was done in a world, by whom and why, the newest first."""
    from qmtl_sdk.cli import audits
    from qmtl_sdk.cli.tables import rows

    found = audits.list_newest(session, world, limit)
    columns = {
        "entry": "number",
        "when": "create_time",
        "event": "event",
        "by": "actor",
        "why": "reason",
        "what": "detail",
        "run": "run_id",
        "epoch": "epoch",
    }
    session.answer({"entries": found}, rows(found, columns, f"no entry of {world} is left"))


@app.command("verify")
@command
def verify(
    session: Session,
    world: Annotated[
        str | None, typer.Argument(metavar="[WORLD]", help="Name of the world. Default: all that you may read.")
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            "--since",
            metavar="FILE",
            help="What an earlier `qmtl audit verify --output json` wrote: what it noted must stand still.",
        ),
    ] = None,
) -> int:
    """Verify the audit: every entry is hashed here, with the hash of the one before it.

    Without --since entries look right that were written anew up to the end, or cut off there: keep elsewhere what this
    command answers.

    Exit code 3 when an entry was changed or is missing.
    """
    from qmtl_sdk.cli import audits
    from qmtl_sdk.cli.tables import rows

    found = audits.verified(session, world, audits.read_since(since, world))
    shown = [{**each, "stands": "no" if each["faults"] else "yes"} for each in found]
    columns = {"world": "world", "stands": "stands", "compared with": "since", "entries": "number", "end": "hash"}
    session.answer({"worlds": found}, rows(shown, columns, "no audit yet"), *_sentences(found))
    return ExitCode.NOT_VALID if any(each["faults"] for each in found) else ExitCode.OK


def _sentences(worlds: list[Document]) -> list[str]:
    return [f"{each['world']}: {_named(fault)}: {fault['what']}" for each in worlds for fault in each["faults"]]


def _named(fault: Document) -> str:
    first, last = fault["first"], fault["last"]
    return f"entry {first}" if first == last else f"entries {first} to {last}"
