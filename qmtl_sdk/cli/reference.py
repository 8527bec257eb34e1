"""The page ``docs/cli.md``, made of the commands themselves: ``python -m qmtl_sdk.cli.reference`` prints it."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from qmtl_sdk.cli.exits import MEANINGS
from qmtl_sdk.cli.main import PROGRAM, app

WIDTH: Final = 100

_INTRODUCTION: Final = """\
# The command line

<!-- Made by `python -m qmtl_sdk.cli.reference`; change the commands, not this page. -->

`--output`, `--gateway` and `--debug` may be given before or after a command.

With `--output json` a command prints exactly one JSON document on stdout, and a failure one on stderr, after whatever
strategy code printed: `{"error": {"reason", "message", "metadata", "violations": [{"field", "description"}]}}`. Lists
are objects with one array (`{"worlds": […]}`); a single thing is the object itself, with the field names of `protos/`.
Times are RFC 3339 in UTC, a number that is not known is `null`. `qmtl submit --output json` prints the `SubmitResult`.

Without it, answers go to stdout, and what is told meanwhile to stderr.

## Settings

| variable | says |
| --- | --- |
| `QMTL_GATEWAY` | `host:port` of the gateway; default: the local stack's |
| `QMTL_STATE_DIR` | where the local stack keeps its data; default `~/.local/state/qmtl`, for root `/var/lib/qmtl` |
| `QMTL_CACHE_DIR` | where bars and results are cached; default `~/.cache/qmtl` |
| `QMTL_AUTHOR` | whose strategies are submitted; default: the user's name |
| `QMTL_POSTGRES_DSN` | the database of `qmtl migrate` |
"""


def reference() -> str:
    """Return the page: settings, exit codes, and every command's own help."""
    from typer.main import get_command

    os.environ["COLUMNS"] = str(WIDTH)  # what the help texts are wrapped to
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    pages = "\n".join(_pages(get_command(app), PROGRAM, None))
    return f"{_INTRODUCTION}\n## Exit codes\n\n| code | says |\n| --- | --- |\n{codes}\n\n## Commands\n\n{pages}"


def _pages(command: Any, name: str, parent: Any) -> list[str]:
    """Return a command's help and those of the commands below it."""
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    page = f"### {context.command_path}\n\n```text\n{text}\n```\n"
    below = getattr(command, "commands", {})
    return [page, *(each for child in below for each in _pages(below[child], child, context))]


if __name__ == "__main__":
    sys.stdout.write(reference())
