"""``grpc.health.v1`` whose readiness follows what the service stands on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from qmtl_foundation.cancellation import heed_cancellation

PROBE_INTERVAL_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 2.0
LIVE = "live"  # what a process says of itself alone, whatever it stands on: a restart mends nothing else

SERVING: Final = HealthCheckResponse.SERVING
NOT_SERVING: Final = HealthCheckResponse.NOT_SERVING

Probe = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)


class HealthFollower(HealthServicer):  # type: ignore[misc]  # grpc ships no types
    """Serve health: SERVING while every probe answers, else NOT_SERVING; per service and for the whole (``""``).

    Each probe is served too, under its own name, so that an operator sees which one does not answer; ``live`` is
    SERVING as long as the process answers at all. What is so is published without waiting for who watches: a watcher
    that takes no answers holds up nobody but itself.
    """

    def __init__(self, services: Sequence[str], probes: Mapping[str, Probe]) -> None:
        self._names = ["", *services]
        self._probes = probes
        self._failing: frozenset[str] | None = None
        self._drains = False
        self._states: dict[str, int] = {}
        self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext) -> HealthCheckResponse:
        """Answer what is so now; NOT_FOUND for a name that nothing has."""
        if request.service not in self._states:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return HealthCheckResponse(status=self._states[request.service])

    async def Watch(self, request: HealthCheckRequest, _context: Any) -> AsyncIterator[HealthCheckResponse]:
        """Answer what is so now, and whenever it is no longer what was said last."""
        said = None
        while True:
            heed_cancellation()
            changed = self._changed
            state = self._states.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if state != said:
                yield HealthCheckResponse(status=state)
                said = state
            await changed.wait()

    async def follow(self) -> None:
        """Probe until cancelled."""
        while True:
            heed_cancellation()
            await self.probe()
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def probe(self) -> None:
        """Probe once and publish what was found; log each change with the names of those that do not answer."""
        failing = frozenset([name for name, probe in self._probes.items() if not await _answers(probe)])
        if failing == self._failing or self._drains:
            return
        self._failing = failing
        if failing:
            _log.warning("not ready: %s", ", ".join(sorted(failing)))
        self._publish([LIVE, *self._probes.keys() - failing], SERVING)
        self._publish(failing, NOT_SERVING)
        self._publish(self._names, NOT_SERVING if failing else SERVING)

    def leave(self) -> None:
        """Say NOT_SERVING for good: the server drains."""
        self._drains = True
        self._publish([*self._states], NOT_SERVING)

    def _publish(self, names: Iterable[str], state: int) -> None:
        self._states.update(dict.fromkeys(names, state))
        self._changed.set()
        self._changed = asyncio.Event()


async def _answers(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            await probe()
    except Exception as error:  # whatever a probe raises: it did not answer, and the next one is due
        _log.debug("probe: %r", error)
        return False
    return True
