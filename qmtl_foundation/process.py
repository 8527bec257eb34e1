"""The life of a service process: read settings, run until signalled, say in one line why it cannot.

Asked to, it looks at what it would be started with instead (``--check``), or shows that (``--show``).
"""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.exporters import exporting_spans
from qmtl_foundation.logs import configure_logging
from qmtl_foundation.rpc.server import until_signalled
from qmtl_foundation.settings import read_settings

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE


class ServiceSettings(Protocol):
    """Have what every service's settings have."""

    @property
    def log_level(self) -> str:
        """Return the level to log at."""


SettingsType = TypeVar("SettingsType", bound=ServiceSettings)


def run_service(
    service: str,
    settings_type: type[SettingsType],
    running: Callable[[SettingsType], AbstractAsyncContextManager[int]],
    beside: Collection[str] = (),
) -> None:
    """Run a service until SIGTERM or SIGINT; exit with 78 for bad settings, 69 for what does not answer.

    ``service`` names its schema, its user in NATS and its part in permissions; ``beside`` the variables that it reads
    besides its settings.
    """
    asked = _asked(service)
    if asked.check or asked.show:
        sys.exit(_answer(service, settings_type, beside, asked))
    try:
        settings = read_settings(settings_type)
        configure_logging(settings.log_level)
    except QmtlError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CONFIGURATION)
    try:
        with exporting_spans(f"qmtl-{service}"):
            asyncio.run(_run(settings, running))
    except* (QmtlError, OSError) as failed:
        faults = list(_faults(failed))
        for line in dict.fromkeys(map(str, faults)):
            sys.stderr.write(f"{line}\n")
        sys.exit(EXIT_CONFIGURATION if any(map(_is_of_settings, faults)) else EXIT_UNAVAILABLE)


def _asked(service: str) -> Namespace:
    parser = ArgumentParser(f"qmtl-{service}", description="Run the service; QMTL_… variables are its settings.")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--check", action="store_true", help="look at what it would be started with, and end")
    instead.add_argument("--show", action="store_true", help="show its settings, without secrets, and end")
    parser.add_argument("--offline", action="store_true", help="of --check: connect to nothing and take no port")
    parser.add_argument("--output", choices=("table", "json"), default="table", help="how --check and --show answer")
    return parser.parse_args()


def _answer(service: str, settings: type, beside: Collection[str], asked: Namespace) -> int:
    """Do what is asked instead of a start; return 78 where what the service is told is wrong, 69 where what it stands
    on is."""
    from qmtl_foundation.diagnosis.before_start import tell_examined, tell_settings
    from qmtl_foundation.diagnosis.finding import has_fault

    as_json = asked.output == "json"
    if asked.show:
        return EXIT_CONFIGURATION if tell_settings(settings, as_json=as_json) else 0
    found = tell_examined(service, settings, beside, offline=asked.offline, as_json=as_json)
    if has_fault(found.told):
        return EXIT_CONFIGURATION
    return EXIT_UNAVAILABLE if has_fault(found.ground) else 0


def _faults(error: BaseException) -> Iterator[BaseException]:
    """Yield each failure, those of tasks within tasks too."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _faults(each)
    else:
        yield error


def _is_of_settings(error: BaseException) -> bool:
    return isinstance(error, QmtlError) and error.reason is Reason.NOT_CONFIGURED


async def _run(settings: SettingsType, running: Callable[[SettingsType], AbstractAsyncContextManager[int]]) -> None:
    async with running(settings):
        await until_signalled()
