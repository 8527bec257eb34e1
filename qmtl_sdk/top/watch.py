"""Reads the gateway and the services' metrics in rounds, and hands on what is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk.client.gateway import Gateway, connect
from qmtl_sdk.top.desk import Desk, read_desk
from qmtl_sdk.top.figures import Source
from qmtl_sdk.top.sources import read_all

GATEWAY_SECONDS: Final = 5.0  # for all that is asked of it in a round
# What may be over with the next round; a token may be renewed meanwhile.
_PASSING: Final = frozenset({Reason.DEPENDENCY_UNAVAILABLE, Reason.RATE_LIMITED, Reason.DEADLINE_EXCEEDED})


@dataclass(frozen=True, slots=True)
class View:
    """Hold what is known. ``desk_at`` is from when the desk is, in monotonic seconds, None before the
    first; ``failure`` says why there is no newer one, if there is not."""

    gateway: Address
    desk: Desk
    desk_at: float | None
    failure: str
    sources: tuple[Source, ...]


OnView = Callable[[View], None]


async def watch(
    address: Address,
    worlds: Sequence[str],
    sources: tuple[Source, ...],
    interval_s: float,
    take: OnView,
    rounds: int | None = None,
) -> View:
    """Give ``take`` what is known whenever something was read, and return the last; ``rounds`` None goes on until
    cancelled.

    The gateway and the sources are read beside each other: none waits for one that does not answer. Raises QmtlError
    for what another round would not mend: a world that is not there, a call that is not allowed.
    """
    async with connect(address, patience_s=0.0) as gateway:
        known = _Known(View(address, Desk(), None, "", sources), take)
        reads = (lambda: _read_desk(gateway, worlds, known), lambda: _read_sources(known))
        tasks = [asyncio.create_task(_in_rounds(read, interval_s, rounds)) for read in reads]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
    return known.view


@dataclass(slots=True)
class _Known:
    """Hold the newest view; each change of it is told."""

    view: View
    take: OnView

    def change(self, **changed: Any) -> None:
        """Change a part of the view, and tell it."""
        self.view = replace(self.view, **changed)
        self.take(self.view)


async def _in_rounds(read: Callable[[], Awaitable[None]], interval_s: float, rounds: int | None) -> None:
    loop = asyncio.get_running_loop()
    for number in count(1):
        begun = loop.time()
        await read()
        if number == rounds:
            return
        await asyncio.sleep(max(0.0, begun + interval_s - loop.time()))


async def _read_sources(known: _Known) -> None:
    known.change(sources=await read_all(known.view.sources))


async def _read_desk(gateway: Gateway, worlds: Sequence[str], known: _Known) -> None:
    try:
        async with asyncio.timeout(GATEWAY_SECONDS):
            desk = await read_desk(gateway, worlds)
    except TimeoutError:
        known.change(failure=f"the gateway at {known.view.gateway} does not answer within {GATEWAY_SECONDS:g} s")
    except QmtlError as error:
        renews = error.reason is Reason.UNAUTHENTICATED and known.view.desk_at is not None
        if error.reason not in _PASSING and not renews:
            raise
        known.change(failure=error.message)
    else:
        known.change(desk=desk, desk_at=time.monotonic(), failure="")
