"""What goes on in worlds, as the gateway tells it: where each stands, and the runs under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from qmtl_foundation.errors import QmtlError, Reason

if TYPE_CHECKING:
    from betterproto2 import Enum

    from qmtl_sdk._pb.qmtl.apply.v1 import ApplyRun
    from qmtl_sdk._pb.qmtl.world.v1 import GetWorldStatusResponse, ListWorldsResponse
    from qmtl_sdk.client.gateway import Gateway

CALL_SECONDS: Final = 5.0
MAX_WORLDS: Final = 200  # read in one round: a caller may ask so much
AT_ONCE: Final = 16
_GONE: Final = frozenset({Reason.WORLD_NOT_FOUND, Reason.RUN_NOT_FOUND, Reason.PERMISSION_DENIED})


class WorldState(StrEnum):
    """Say how a world stands, in the order of urgency."""

    HELD = "held"
    FROZEN = "frozen"
    APPLYING = "applying"
    TRADING = "trading"
    IDLE = "idle"  # never activated


class Gates(StrEnum):
    """Say whether a world's orders pass."""

    OPEN = "open"
    CLOSED = "closed"
    NONE = "none"  # it was never activated


@dataclass(frozen=True, slots=True)
class WorldRow:
    """Hold where a world stands."""

    name: str
    mode: str
    state: WorldState
    epoch: int
    gates: Gates
    active: int
    holds: tuple[str, ...]
    waits_for: str


@dataclass(frozen=True, slots=True)
class RunRow:
    """Hold a run under way: its phase, who is awaited, since when."""

    world: str
    run_id: str
    phase: str
    epoch: int
    awaited: tuple[str, ...]
    began: datetime | None
    deadline: datetime | None

    def age(self, now: datetime) -> float | None:
        """Return how many seconds ago it was asked for, by this machine's clock; None where that is not said."""
        return None if self.began is None else max(0.0, (now - self.began).total_seconds())


@dataclass(frozen=True, slots=True)
class Desk:
    """Hold worlds by name and runs by age; ``unread`` counts worlds beyond those that are read."""

    worlds: tuple[WorldRow, ...] = ()
    runs: tuple[RunRow, ...] = ()
    unread: int = 0


async def read_desk(gateway: Gateway, named: Sequence[str]) -> Desk:
    """Return how worlds stand: those that are named, else all that may be read. Raises QmtlError."""
    names, unread = (list(named), 0) if named else await _names(gateway)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> tuple[WorldRow, RunRow | None] | None:
        async with places:
            return await _read(gateway, name, is_named=bool(named))

    found = [each for each in await asyncio.gather(*map(one, names)) if each is not None]
    runs = sorted((run for _, run in found if run is not None), key=lambda each: str(each.began))
    return Desk(tuple(world for world, _ in found), tuple(runs), unread)


def state_of(*, epoch: int, is_open: bool, is_held: bool, is_applying: bool) -> WorldState:
    """Return a world's state; what keeps orders from the venue comes first."""
    if is_held:
        return WorldState.HELD
    if is_applying:
        return WorldState.APPLYING
    if not epoch:
        return WorldState.IDLE
    return WorldState.TRADING if is_open else WorldState.FROZEN


async def _names(gateway: Gateway) -> tuple[list[str], int]:
    from qmtl_sdk._pb.qmtl.world.v1 import ListWorldsRequest
    from qmtl_sdk.client.paging import PAGE, all_pages

    def send(token: str) -> Awaitable[ListWorldsResponse]:
        request = ListWorldsRequest(page_size=PAGE, page_token=token)
        return gateway.worlds.list_worlds(request, timeout=CALL_SECONDS)

    names = [each.name for page in await all_pages(gateway, send) for each in page.worlds]
    return names[:MAX_WORLDS], max(0, len(names) - MAX_WORLDS)


async def _read(gateway: Gateway, name: str, *, is_named: bool) -> tuple[WorldRow, RunRow | None] | None:
    from qmtl_sdk._pb.qmtl.world.v1 import GetWorldStatusRequest

    asked = GetWorldStatusRequest(world=name)
    try:
        status = await gateway.call(lambda: gateway.worlds.get_world_status(asked, timeout=CALL_SECONDS))
        return _world(name, status), await _read_run(gateway, name, status.run_id) if status.run_id else None
    except QmtlError as error:
        if error.reason in _GONE and not is_named:  # deleted since it was listed
            return None
        raise


async def _read_run(gateway: Gateway, world: str, run_id: str) -> RunRow | None:
    """Return a run that is still under way."""
    from qmtl_sdk._pb.qmtl.apply.v1 import GetApplyRequest

    asked = GetApplyRequest(world=world, run_id=run_id)
    run = (await gateway.call(lambda: gateway.applies.get_apply(asked, timeout=CALL_SECONDS))).run
    return None if run is None or run.end_time is not None else _run(run)


def _world(name: str, status: GetWorldStatusResponse) -> WorldRow:
    state = state_of(
        epoch=status.epoch, is_open=status.open, is_held=bool(status.holds), is_applying=bool(status.run_id)
    )
    mode = _text(status.world.mode) if status.world is not None else ""
    gates = (Gates.OPEN if status.open else Gates.CLOSED) if status.epoch else Gates.NONE
    active = sum(each.active for each in status.strategies)
    return WorldRow(name, mode, state, status.epoch, gates, active, tuple(status.holds), status.waits_for)


def _run(run: ApplyRun) -> RunRow:
    awaited = tuple(f"{_text(each.kind)} {each.name}" for each in run.awaited)
    return RunRow(run.world, run.run_id, _text(run.phase), run.epoch, awaited, run.create_time, run.deadline)


def _text(number: Enum) -> str:
    """Return an enum's text as the domain writes it; a number of a newer release is shown as it is."""
    return f"unknown ({int(number)})" if number.name is None else number.name.lower().replace("_", "-")
