"""Follows the stream of reports, and hands each to the sessions of its strategy; reads what a session missed.

A session's place is one in the stream that there was when it began: when that is another one, the session ends.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import Bus, translated_errors
from qmtl_foundation.jetstream.ordered import Delivered, read_after, reading
from qmtl_foundation.jetstream.streams import ALL_REPORTS, REPORTS, report_stream, report_subject
from qmtl_gateway.sessions.messages import from_report
from qmtl_gateway.sessions.model import Report
from qmtl_gateway.sessions.session import Sessions

RETRY_SECONDS: Final = 0.5
BATCH: Final = 256

_log = logging.getLogger(__name__)


class Reports:
    """Hand reports to sessions: in the order of their stream, from where this gateway began."""

    def __init__(self, bus: Bus, sessions: Sessions, replicas: int) -> None:
        self._bus = bus
        self._sessions = sessions
        self._replicas = replicas
        self._position: int | None = None  # place of the newest report handed out; None before the first look
        self._generation = ""  # which stream that place counts in

    async def run(self) -> None:
        """Follow until cancelled; a new consumer goes on where a lost one stood."""
        while True:
            heed_cancellation()
            try:
                await self._follow()
            except QmtlError as error:
                _log.warning("following the reports: %s", error)
            except Exception:  # a fault of ours must not end the gateway; sessions read what they missed
                _log.exception("following the reports")
            await asyncio.sleep(RETRY_SECONDS)

    async def begin(self, position: int | None) -> int:
        """Return the place behind which a session reads: the runner's own, the newest where it states none.

        A place beyond the end is of a stream that is gone: all of the present one is read.
        Raises QmtlError(DEPENDENCY_UNAVAILABLE).
        """
        newest = self._position
        if newest is None or (position is not None and position > newest):
            newest = await self._newest()
        if position is None:
            return newest
        return position if position <= newest else 0

    def has_missed(self, position: int) -> bool:
        """Tell whether reports behind a place were handed out before: a session that joins now is handed all others."""
        return self._position is None or position < self._position

    async def missed(self, world: str, position: int) -> list[Report]:
        """Return the next reports of a world behind a place, oldest first, at most ``BATCH``.

        Raises QmtlError(DEPENDENCY_UNAVAILABLE).
        """
        found = await read_after(self._bus, REPORTS, report_subject(world), position, BATCH)
        reports = [_report(each) for each in found]
        return [each for each in reports if each is not None]

    async def _follow(self) -> None:
        await self._bus.ensure_stream(report_stream(self._replicas))
        stream = await self._bus.state(REPORTS)
        is_other = self._generation not in ("", stream.generation)
        if self._position is None:
            self._position = stream.last
        elif is_other or self._position > stream.last:
            _log.error("the stream of reports is another one: sessions end, so that runners begin anew in this one")
            self._position = stream.last
            self._sessions.end(_gone())
        self._generation = stream.generation
        async with reading(self._bus, REPORTS, ALL_REPORTS, after=self._position) as reader:
            async for delivered in reader:
                report = _report(delivered)
                if report is not None:
                    self._sessions.deliver(report)
                self._position = delivered.position

    async def _newest(self) -> int:
        with translated_errors():
            return int((await self._bus.jetstream.stream_info(REPORTS)).state.last_seq)


def _gone() -> QmtlError:
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "the stream of reports was made anew; connect again",
        metadata={"dependency": "nats"},
    )


def _report(delivered: Delivered) -> Report | None:
    try:
        return from_report(delivered.position, delivered.payload)
    except ValueError as error:
        _log.error("place %d of the reports: %s", delivered.position, error)
        return None
