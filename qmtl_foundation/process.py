"""The life of a service process: read settings, run until signalled, say in one line why it cannot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from qmtl_foundation.errors import QmtlError
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
    name: str,
    settings_type: type[SettingsType],
    running: Callable[[SettingsType], AbstractAsyncContextManager[int]],
) -> None:
    """Run the service of a name until SIGTERM or SIGINT; exit with 78 for bad settings, 69 for what does not answer."""
    try:
        settings = read_settings(settings_type)
        configure_logging(settings.log_level)
    except (QmtlError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_CONFIGURATION)
    try:
        with exporting_spans(name):
            asyncio.run(_run(settings, running))
    except* (QmtlError, OSError) as failed:
        for line in dict.fromkeys(_sentences(failed)):
            sys.stderr.write(f"{line}\n")
        sys.exit(EXIT_UNAVAILABLE)


def _sentences(error: BaseException) -> Iterator[str]:
    """Return what each failure says, those of tasks within tasks too."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _sentences(each)
    else:
        yield str(error)


async def _run(settings: SettingsType, running: Callable[[SettingsType], AbstractAsyncContextManager[int]]) -> None:
    async with running(settings):
        await until_signalled()
