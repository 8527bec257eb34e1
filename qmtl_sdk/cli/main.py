"""The entry of ``qmtl``: the tree of commands, the options that all share, and how everything ends in an exit code.

Nothing heavy is imported before a command runs: ``qmtl --help`` costs Typer and these modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.cli import (
    apply,
    audit,
    backup,
    certs,
    config,
    data,
    doctor,
    executor,
    failures,
    init,
    stack,
    submit,
    sweep,
    top,
    world,
)
from qmtl_sdk.cli import run as run_command
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Debug, GatewayAddress, Output, OutputForm, Session, Unconfirmed, WatchInterruptedError

PROGRAM = "qmtl"
EXPORTING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# Plain help texts: Rich's would take twice the time of all the rest.
app = typer.Typer(name=PROGRAM, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True)
app.command("init")(init.init)
app.command("up")(stack.up)
app.command("down")(stack.down)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("migrate")(stack.migrate)
app.command("submit")(submit.submit)
app.command("sweep")(sweep.sweep)
app.command("run")(run_command.run)
app.command("doctor")(doctor.doctor)
app.command("top")(top.top)
app.add_typer(stack.app, name="stack")
app.add_typer(world.app, name="world")
app.add_typer(apply.app, name="apply")
app.add_typer(executor.app, name="executor")
app.add_typer(audit.app, name="audit")
app.add_typer(data.app, name="data")
app.add_typer(certs.app, name="certs")
app.add_typer(config.app, name="config")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    output: Output = None,
    gateway: GatewayAddress = None,
    debug: Debug = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Submit strategies to worlds, and read what the worlds decided.

    The options below may also be given after the command. Exit codes: docs/cli.md.
    """
    before: Session = context.obj or Session()
    session = Session(output or OutputForm.TABLE, gateway or "", debug, before.traces)
    context.obj = session
    if version:
        session.answer({"version": _version()}, f"{PROGRAM} {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's) and return its exit code."""
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None and code == ExitCode.INTERRUPTED:
        sys.stderr.flush()
        os._exit(code)  # at its end Python waits for threads, and so for the backtest that was interrupted
    return code


def _run(given: list[str]) -> int:
    session = _as_far_as_readable(given)
    try:
        with _exporting_spans() as traces:
            shared = Session(traces=traces)
            code = int(app(given, prog_name=PROGRAM, standalone_mode=False, obj=shared) or 0)
        sys.stdout.flush()
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else PROGRAM
        hint, facts = f"(`{path} --help` says what there is)", error.facts if isinstance(error, Unconfirmed) else {}
        return failures.report_usage(session, error.format_message(), hint, facts)
    except QmtlError as error:
        return failures.report_refusal(session, error)
    except WatchInterruptedError as error:
        return failures.report_interrupt(session, str(error))
    except BrokenPipeError:  # the reader has gone, as of `qmtl … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the rest goes at Python's end
        return ExitCode.REFUSED
    except Exception as error:  # the last place: a person gets a sentence, never a traceback unasked
        return failures.report_fault(session, error)
    # Typer makes an exit code of Ctrl-C.
    return failures.report_interrupt(session) if code == ExitCode.INTERRUPTED else code


@contextmanager
def _exporting_spans() -> Iterator[bool]:
    """Send the spans of a command where OpenTelemetry's variables say so, and tell whether; no command fails for it."""
    if not any(os.environ.get(name) for name in EXPORTING):
        yield False
        return
    with ExitStack() as stack:
        try:
            from qmtl_foundation.exporters import TRACES, exporting_spans, is_exported

            stack.enter_context(exporting_spans(PROGRAM))
            sends = is_exported(TRACES)
        except ImportError:
            sys.stderr.write(f"{PROGRAM}: no spans are sent: `pip install 'qmtl[tracing]'` brings what sends them\n")
            sends = False
        except QmtlError as error:
            sys.stderr.write(f"{PROGRAM}: no spans are sent: {error.message}\n")
            sends = False
        yield sends


def _as_far_as_readable(arguments: Sequence[str]) -> Session:
    """Return what the command line says about errors, also where it cannot be parsed."""
    text = " ".join(arguments)
    as_json = "--output json" in text or "--output=json" in text
    return Session(OutputForm.JSON if as_json else OutputForm.TABLE, debug="--debug" in arguments)


def _version() -> str:
    from qmtl_sdk.libraries import version_of

    return version_of(PROGRAM)
