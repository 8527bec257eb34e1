"""The life of a service process: read settings, run until signalled, say in one line why it cannot.

Asked to, it looks at what it would be started with instead (``--check``), or shows that (``--show``).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.exporters import exporting_spans
from qmtl_foundation.logs import configure_logging
from qmtl_foundation.rpc.server import until_signalled
from qmtl_foundation.settings import read_settings

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE
PLAIN_COLUMNS = 160  # width of tables that go to a file or a pipe


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
    if asked.check:
        sys.exit(_check(service, settings_type, beside, asked))
    if asked.show:
        sys.exit(_show(settings_type, asked))
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


def _check(service: str, settings: type, beside: Collection[str], asked: Namespace) -> int:
    """Tell how the service would fare; return 78 when what it is told is wrong, 69 when what it stands on is."""
    from qmtl_foundation.diagnosis.examination import examine
    from qmtl_foundation.diagnosis.finding import document, has_fault, table

    logging.getLogger().addHandler(logging.NullHandler())  # what is logged on the way the findings say
    found = asyncio.run(examine(service, settings, os.environ, beside, offline=asked.offline))
    every = [*found.told, *found.ground]
    _answer(asked, document(every), table(every))
    if has_fault(found.told):
        return EXIT_CONFIGURATION
    return EXIT_UNAVAILABLE if has_fault(found.ground) else 0


def _show(settings: type, asked: Namespace) -> int:
    """Show every setting; return 78 when some are missing or malformed."""
    from qmtl_foundation.diagnosis.setting import document, shown_settings, table

    shown = shown_settings(settings, os.environ)
    _answer(asked, document(shown), table(shown))
    return EXIT_CONFIGURATION if any(each.fault for each in shown) else 0


def _answer(asked: Namespace, document: dict[str, Any], shown: object) -> None:
    from rich.console import Console

    if asked.output == "json":
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_COLUMNS
    console.print(shown)


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
