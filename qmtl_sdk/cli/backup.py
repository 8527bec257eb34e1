"""``qmtl backup`` and ``restore``: the data of the local stack in a folder, and a stack filled with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmtl_foundation.terminal import counted
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command
from qmtl_sdk.cli.stack import StateDir, directory_of, steps

if TYPE_CHECKING:
    from qmtl_sdk.local.backup import Manifest


@command
def backup(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it; it must not be there yet.")],
    state_dir: StateDir = None,
) -> None:
    """Write the local stack's streams, then its database, while everybody works on.

    Freeze the worlds first if nothing of what they do meanwhile may be missing.
    """
    from qmtl_sdk.local.backup import backup as write

    manifest = write(directory_of(state_dir), folder)
    moved_on = {name: count for name, count in manifest.moved_on.items() if count}
    document = {"folder": str(folder), **asdict(manifest)}
    shown = [f"{_held(manifest)} in {folder}"]
    if moved_on:
        by = ", ".join(f"{name} by {count}" for name, count in moved_on.items())
        shown.append(f"before the database was written, streams moved on: {by}; a world may be held at the restore")
    session.answer(document, *shown)


@command
def restore(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `qmtl backup` wrote.")],
    state_dir: StateDir = None,
) -> int:
    """Fill a directory that has no data with a backup, and compare all of it; `qmtl up` then starts the services.

    Exit code 3 when something is not what the backup says.
    """
    from qmtl_sdk.local.backup import restore as fill

    directory = directory_of(state_dir)
    manifest, differences = fill(folder, directory, steps(session))
    document = {"folder": str(folder), "state_dir": str(directory), "differences": differences, **asdict(manifest)}
    whole = (
        f"{_held(manifest)} are there again: `qmtl up` starts the services, and "
        "worlds that were open trade on within seconds. Stop the stack that the backup is of before"
    )
    session.answer(document, *(differences or [whole]))
    return ExitCode.NOT_VALID if differences else ExitCode.OK


def _held(manifest: Manifest) -> str:
    return f"{counted(manifest.rows, 'row')}, {counted(manifest.messages, 'message')}"
