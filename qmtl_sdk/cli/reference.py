"""The generated sections of ``docs/cli.md``, made of the commands themselves."""

from __future__ import annotations

import os
from typing import Any, Final

from qmtl_sdk.cli.exits import MEANINGS
from qmtl_sdk.cli.main import PROGRAM, app

WIDTH: Final = 100


def exit_codes() -> str:
    """Return the table of the exit codes."""
    rows = (f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    return "\n".join(("| code | says |", "| --- | --- |", *rows))


def commands() -> str:
    """Return the help of every command, each under its name."""
    from typer.main import get_command

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)  # what help is wrapped to
    try:
        return "\n\n".join(_pages(get_command(app), PROGRAM, None))
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _pages(command: Any, name: str, parent: Any) -> list[str]:
    """Return a command's help and those of the commands below it."""
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    page = f"### {context.command_path}\n\n```text\n{text}\n```"
    below = getattr(command, "commands", {})
    return [page, *(each for child in below for each in _pages(below[child], child, context))]
