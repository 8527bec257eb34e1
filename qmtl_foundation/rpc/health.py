"""``grpc.health.v1`` whose readiness follows what the service stands on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from grpc_health.v1 import health, health_pb2

from qmtl_foundation.cancellation import heed_cancellation

PROBE_INTERVAL_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 2.0
LIVE = "live"  # what a process says of itself alone, whatever it stands on: a restart mends nothing else

Probe = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)


class HealthFollower:
    """Serve health: SERVING while every probe answers, else NOT_SERVING; per service and for the whole (``""``).

    Each probe is served too, under its own name, so that an operator sees which one does not answer; ``live`` is
    SERVING as long as the process answers at all.
    """

    def __init__(self, services: Sequence[str], probes: Mapping[str, Probe]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._names = ["", *services]
        self._probes = probes
        self._failing: frozenset[str] | None = None

    async def follow(self) -> None:
        """Probe until cancelled."""
        while True:
            heed_cancellation()
            await self.probe()
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def probe(self) -> None:
        """Probe once and publish what was found; log each change with the names of those that do not answer."""
        failing = frozenset([name for name, probe in self._probes.items() if not await _answers(probe)])
        if failing == self._failing:
            return
        if self._failing is None:
            await self.servicer.set(LIVE, _state(True))
        self._failing = failing
        if failing:
            _log.warning("not ready: %s", ", ".join(sorted(failing)))
        for name in self._names:
            await self.servicer.set(name, _state(not failing))
        for name in self._probes:
            await self.servicer.set(name, _state(name not in failing))

    async def leave(self) -> None:
        """Say NOT_SERVING for good: the server drains."""
        await self.servicer.enter_graceful_shutdown()


def _state(serves: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    return health_pb2.HealthCheckResponse.SERVING if serves else health_pb2.HealthCheckResponse.NOT_SERVING


async def _answers(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            await probe()
    except Exception as error:  # whatever a probe raises: it did not answer, and the next one is due
        _log.debug("probe: %r", error)
        return False
    return True
