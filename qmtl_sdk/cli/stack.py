"""``qmtl up``, ``down`` and ``stack``: the local stack; ``migrate``: any PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command, lasting_command
from qmtl_sdk.local import state

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qmtl_sdk.local.progress import OnProgress, Progress, StackStatus

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        envvar=state.SETTING,
        help="Where the stack keeps its data. Default: ~/.local/state/qmtl, for root /var/lib/qmtl.",
    ),
]

app = typer.Typer(help="Ask the local stack how it is.", rich_markup_mode=None, no_args_is_help=False)


@command
def up(session: Session, state_dir: StateDir = None) -> None:
    """Start the local stack, or heal it, register the built-in data presets, and say where everything listens."""
    from qmtl_foundation.settings import Address
    from qmtl_sdk.client.credential import file_source
    from qmtl_sdk.client.presets import register_builtin_presets
    from qmtl_sdk.local import stack

    status = stack.up(directory_of(state_dir), steps(session))
    presets = register_builtin_presets(Address.parse(status.gateway_address), file_source(status.token_file))
    document = {**_document(status), "data_presets": list(presets)}
    shown = (
        f"gateway at {status.gateway_address}, your token in {status.token_file}; data presets: {', '.join(presets)}"
    )
    session.answer(document, _table(status), shown)


@command
def down(session: Session, state_dir: StateDir = None) -> None:
    """Stop the local stack. Its data stays."""
    from qmtl_sdk.local import stack

    done = stack.down(directory_of(state_dir), steps(session))
    document = {"stopped": [{"name": each.name, "phase": each.phase.value, "detail": each.detail} for each in done]}
    session.answer(document, "stopped; the data stays" if done else "nothing was running")


@app.command("status")
@command
def status(session: Session, state_dir: StateDir = None) -> int:
    """Say how each process of the stack is. Exit code 4 unless all are healthy."""
    from qmtl_sdk.local import stack

    found = stack.status(directory_of(state_dir))
    shown = _table(found) if found.processes else f"no stack was started in {found.state_dir}: run `qmtl up`"
    session.answer(_document(found), shown)
    return ExitCode.OK if found.healthy else ExitCode.UNREACHABLE


@app.command("logs")
@lasting_command
def logs(
    session: Session,
    service: Annotated[str, typer.Argument(help="A process as `qmtl stack status` names it, or migrate.")],
    lines: Annotated[int, typer.Option("--lines", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with the lines to come, until Ctrl-C.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Print the log of a process; --output json has the lines as they are written."""
    from qmtl_sdk.local import stack
    from qmtl_sdk.local.log_lines import readable

    if follow and session.json:
        raise typer.BadParameter("a log that is followed has no end, and so no JSON document; leave out one of the two")
    found = stack.logs(directory_of(state_dir), service, lines, follow)
    if session.json:
        session.answer({"service": service, "lines": list(found)})
        return
    for line in found:
        typer.echo(readable(line))


@command
def migrate(session: Session) -> None:
    """Bring the schemas of the database of QMTL_POSTGRES_DSN to their newest revisions."""
    from qmtl_foundation.errors import QmtlError, Reason
    from qmtl_foundation.postgres.migrate import DSN_VARIABLE, upgrade
    from qmtl_sdk.local.service import SERVICES

    dsn = os.environ.get(DSN_VARIABLE, "")
    if not dsn:
        form = "postgresql://user@host/qmtl?sslmode=verify-full"
        message = f"{DSN_VARIABLE} is not set: name the database, such as {form}"
        raise QmtlError(Reason.NOT_CONFIGURED, message, metadata={"setting": DSN_VARIABLE})
    done = upgrade(dsn, [service.package for service in SERVICES])
    schemas = [{"schema": each.schema, "before": each.before, "after": each.after} for each in done]
    session.answer({"schemas": schemas}, *(f"{each.schema}: {each.before or 'new'} -> {each.after}" for each in done))


def directory_of(given: Path | None) -> Path:
    """Return where the stack keeps its data: as given, or by default."""
    return given if given is not None else state.default_state_dir()


def steps(session: Session) -> OnProgress:
    """Return what shows each step on stderr; nothing where the answer is JSON."""
    from rich.text import Text

    from qmtl_sdk.local.progress import silent

    if session.json:
        return silent
    console = plain_console(stderr=True)

    def show(progress: Progress) -> None:
        step = ((f"{progress.name:<10}", "bold"), f"{progress.phase.value} ", (progress.detail, "dim"))
        console.print(Text.assemble(*step), soft_wrap=True)

    return show


def _document(status: StackStatus) -> dict[str, Any]:
    return {
        "state_dir": str(status.state_dir),
        "healthy": status.healthy,
        "gateway": status.gateway_address,
        "token_file": str(status.token_file),
        "processes": [
            {
                "name": each.name,
                "health": each.health.value,
                "address": each.address,
                "metrics_address": each.metrics_address,
                "pid": each.pid,
                "ended": each.ended,
                "last_lines": list(each.last_lines),
                "log": str(each.log),
            }
            for each in status.processes
        ],
    }


def _table(status: StackStatus) -> RenderableType:
    """Return the processes, and the last words of those that died."""
    from rich.console import Group
    from rich.text import Text

    from qmtl_sdk.cli.tables import rows

    columns = {"process": "name", "health": "health", "address": "address", "metrics": "metrics_address", "pid": "pid"}
    words = [
        Text(
            "\n".join((f"{each.name} {each.ended}; the end of {each.log}:", *(f"  {line}" for line in each.last_lines)))
        )
        for each in status.processes
        if each.ended
    ]
    return Group(rows(_document(status)["processes"], columns, "no processes"), *words)
