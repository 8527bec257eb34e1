"""How failures reach people and programs: one red sentence with field and mend, or one JSON document, on stderr."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import ExitCode, exit_code_of
from qmtl_sdk.cli.session import Session

INTERRUPTED: Final = "INTERRUPTED"
USAGE: Final = "USAGE"


@dataclass(frozen=True, slots=True)
class Told:
    """Hold what is told of a failure, by the names of its JSON form."""

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Mapping[str, str]] = ()


def report_refusal(session: Session, error: QmtlError) -> ExitCode:
    """Tell why something was refused and return the exit code."""
    _tell(session, Told(error.reason, error.message, dict(error.metadata), _violations(error)), error)
    return exit_code_of(error.reason)


def report_usage(session: Session, message: str, hint: str, facts: Mapping[str, str]) -> ExitCode:
    """Tell what is wrong with the command line and return the exit code."""
    _tell(session, Told(USAGE, f"{message} {hint}", dict(facts)))
    return ExitCode.USAGE


def report_interrupt(session: Session, goes_on: str = "") -> ExitCode:
    """Tell that Ctrl-C ended the command, and what goes on without it; return the exit code."""
    _tell(session, Told(INTERRUPTED, f"interrupted; {goes_on}" if goes_on else "interrupted"))
    return ExitCode.INTERRUPTED


def report_fault(session: Session, error: BaseException) -> ExitCode:
    """Tell that QMTL itself failed and return the exit code."""
    hint = "" if session.debug else "; run it again with --debug to see where, and please report it"
    message = f"this is a fault of qmtl itself: {type(error).__name__}: {error}{hint}"
    _tell(session, Told(Reason.INTERNAL, message, {"exception": type(error).__name__}), error)
    return ExitCode.INTERNAL


def _tell(session: Session, told: Told, error: BaseException | None = None) -> None:
    trace = "".join(traceback.format_exception(error)) if session.debug and error is not None else ""
    if session.json:
        document = {**asdict(told), **({"traceback": trace} if trace else {})}
        sys.stderr.write(json.dumps({"error": document}, indent=2, ensure_ascii=False) + "\n")
        return
    from rich.text import Text

    sys.stderr.write(trace)
    console = plain_console(stderr=True)
    console.print(Text.assemble(("error: ", "bold red"), (told.message, "red")), soft_wrap=True)
    for each in told.violations:
        if each["description"] not in told.message:
            console.print(Text(f"  {each['field']}: {each['description']}", "red"), soft_wrap=True)


def _violations(error: QmtlError) -> list[dict[str, str]]:
    return [{"field": each.field, "description": each.description} for each in error.violations]
