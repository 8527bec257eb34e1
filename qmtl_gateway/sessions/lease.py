"""The gateway's own lease at the world service: without it every gate is closed, whatever was told.

It counts from before the request was sent, on a monotonic clock: the world service, which counts from when the request
came, never takes it for over before the gateway does.

A gateway that cannot follow the control stream lets its lease end: its gates are closed, it would hear of no event to
acknowledge, and every run would wait for it in vain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError
from qmtl_gateway.sessions.gates import Gates
from qmtl_gateway.sessions.holders import Holders
from qmtl_gateway.sessions.model import Gate, WorldPlace

RENEW_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.05  # while events do not arrive: once they do, the gateway registers at once

_log = logging.getLogger(__name__)


class LeaseKeeper:
    """Register this start of the gateway, and renew its lease; say for which runners it waits.

    ``ask`` renews, stating gates and whom each waits for, and returns for how many seconds the lease lasts and where
    worlds stand. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Gate], Callable[[Gate], Sequence[str]]], Awaitable[tuple[float, list[WorldPlace]]]],
        gates: Gates,
        holders: Holders,
        clock: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._gates = gates
        self._holders = holders
        self._clock = clock
        self._failing = False

    async def run(self) -> None:
        """Renew until cancelled, as long as events arrive."""
        while True:
            heed_cancellation()
            if not self._gates.is_following:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            begun = self._clock()
            try:
                await self._renew()
            except QmtlError as error:
                self._note(error)
            except Exception:  # a fault of ours must not end the gateway: its gates close by themselves
                _log.exception("renewing the lease")
            await asyncio.sleep(max(0.0, RENEW_SECONDS - (self._clock() - begun)))

    async def _renew(self) -> None:
        sent, stated = self._clock(), self._gates.places()
        seconds, places = await self._ask(stated, self._holders.waited_for)
        self._gates.renewed(sent + seconds, stated, places)
        if self._failing:
            _log.info("the lease is renewed again")
        self._failing = False

    def _note(self, error: QmtlError) -> None:
        if not self._failing:
            _log.warning("the lease is not renewed; gates close when it is over: %s", error)
        self._failing = True
