"""The exit codes of ``qmtl``, and which failure has which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from qmtl_foundation.errors import Reason


class ExitCode(IntEnum):
    """Name how a command ended; documented in ``docs/cli.md``."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_VALID = 3
    UNREACHABLE = 4
    PENDING = 5
    INTERNAL = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT, as shells say it


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "done; of `submit`: the strategy is valid",
    ExitCode.REFUSED: "refused: the sentence on stderr names what is wrong and how to mend it",
    ExitCode.USAGE: "the command line is wrong: an unknown command or option, a value of a wrong form, no `--yes`",
    ExitCode.NOT_VALID: "of `submit`: the world judged the strategy invalid or rejected it; "
    "of `sweep`: no cell is valid; of `apply start` and `apply watch`: the run was rolled back or aborted; "
    "of `run`: the targets are not the backtest's; of `audit verify`: an entry was changed or is missing; "
    "of `restore`: something that was restored is not what the backup says",
    ExitCode.UNREACHABLE: "the gateway, or what it stands on, is not there; of `stack status`: not all is healthy; "
    "of `top --once`: or a source of its figures; of `doctor`, `config validate` and `config show`: something is wrong",
    ExitCode.PENDING: "no answer within the deadline; of `submit`: not decided yet, it goes on in the world",
    ExitCode.INTERNAL: "a fault of QMTL's own; `--debug` shows where",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}

_BY_REASON: Final[Mapping[Reason, ExitCode]] = {
    Reason.DEPENDENCY_UNAVAILABLE: ExitCode.UNREACHABLE,
    Reason.NOT_CONFIGURED: ExitCode.UNREACHABLE,
    Reason.DEADLINE_EXCEEDED: ExitCode.PENDING,
    Reason.INTERNAL: ExitCode.INTERNAL,
}
_BY_STATUS: Final[Mapping[str, ExitCode]] = {
    "valid": ExitCode.OK,
    "invalid": ExitCode.NOT_VALID,
    "rejected": ExitCode.NOT_VALID,
    "pending": ExitCode.PENDING,
}


def exit_code_of(reason: Reason) -> ExitCode:
    """Return the exit code of a failure."""
    return _BY_REASON.get(reason, ExitCode.REFUSED)


def exit_code_of_status(status: str) -> ExitCode:
    """Return the exit code of a submission's status; one of a newer release counts as not valid."""
    return _BY_STATUS.get(status, ExitCode.NOT_VALID)
