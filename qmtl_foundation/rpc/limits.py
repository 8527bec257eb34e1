"""How much one caller may ask, so that a noisy one does not slow another.

Each caller has a bucket of tokens that refills (a token bucket, RFC 2697's meter with one rate), places for calls under
way, and a line before them: what is asked beyond waits behind the same caller's calls, not before another's.
Beyond rate, line and streams a call is RESOURCE_EXHAUSTED, with the time after which to come again. Services are not
held to it, nor methods that the contract calls urgent: an emergency stop is refused by nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.rpc.access import stated_access
from qmtl_foundation.rpc.admission import OPEN, caller
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around, streamed_within
from qmtl_foundation.settings import check_at_least

CALLERS_KEPT: Final = 10_000
AGAIN_SECONDS: Final = 0.1  # after which to come again while too much is under way
RATE: Final = "calls_per_second"
WAITING: Final = "calls_waiting"
STREAMS: Final = "streams"
LIMITS: Final = (RATE, WAITING, STREAMS)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Hold what one caller may ask of one gateway (``QMTL_LIMITS_…``).

    ``calls_per_second`` in the long run, ``burst`` after a pause; ``calls_at_once`` under way, ``calls_waiting`` for
    such a place; ``streams`` are sessions and watches.
    """

    calls_per_second: int = 1_000
    burst: int = 2_000
    calls_at_once: int = 64
    calls_waiting: int = 2_000
    streams: int = 2_000

    def __post_init__(self) -> None:
        """Refuse limits under which nobody could call."""
        for name in ("calls_per_second", "burst", "calls_at_once", "streams"):
            check_at_least(f"limits_{name}", getattr(self, name), 1)
        check_at_least("limits_calls_waiting", self.calls_waiting, 0)


@dataclass(slots=True)
class Usage:
    """Count what one caller asks: calls that may begin as of the moment ``at`` (seconds), and what is under way."""

    tokens: float
    at: float
    places: asyncio.Semaphore
    calls: int = 0  # under way or waiting
    streams: int = 0


class Limits(Wrapping):
    """Hold callers to their limits; it stands behind the door, which knows them."""

    def __init__(
        self,
        settings: LimitSettings,
        count: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._count = count
        self._monotonic = monotonic
        self._usage: dict[str, Usage] = {}

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler within limits."""
        if method.startswith(OPEN) or stated_access(method).is_urgent:
            return handler
        return around(handler, self._unary, lambda behaviour: streamed_within(behaviour, self._stream))

    def _unary(self, behaviour: Behaviour) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            who = caller()
            if who.is_service:
                return await behaviour(request, context)
            usage, settings = self._of(who.name), self._settings
            if usage.calls >= settings.calls_at_once + settings.calls_waiting:
                raise self._refused(who.name, WAITING, settings.calls_waiting, AGAIN_SECONDS)
            self._take_token(who.name, usage)
            usage.calls += 1
            try:
                async with usage.places:
                    return await behaviour(request, context)
            finally:
                usage.calls -= 1

        return call

    @contextmanager
    def _stream(self, _context: grpc.aio.ServicerContext) -> Iterator[None]:
        """Hold one of the caller's streams. Raises QmtlError RATE_LIMITED."""
        who = caller()
        usage = self._of(who.name)
        if not who.is_service:
            if usage.streams >= self._settings.streams:
                raise self._refused(who.name, STREAMS, self._settings.streams, AGAIN_SECONDS)
            self._take_token(who.name, usage)
        usage.streams += 1
        try:
            yield
        finally:
            usage.streams -= 1

    def _take_token(self, name: str, usage: Usage) -> None:
        """Take a token. Raises QmtlError RATE_LIMITED while there is none."""
        settings, now = self._settings, self._monotonic()
        usage.tokens = min(settings.burst, usage.tokens + (now - usage.at) * settings.calls_per_second)
        usage.at = now
        if usage.tokens < 1.0:
            again = (1.0 - usage.tokens) / settings.calls_per_second
            raise self._refused(name, RATE, settings.calls_per_second, again)
        usage.tokens -= 1.0

    def _of(self, name: str) -> Usage:
        usage = self._usage.get(name)
        if usage is None:
            if len(self._usage) >= CALLERS_KEPT:
                self._forget_idle()
            places = asyncio.Semaphore(self._settings.calls_at_once)
            usage = self._usage[name] = Usage(self._settings.burst, self._monotonic(), places)
        return usage

    def _forget_idle(self) -> None:
        """Forget callers with nothing under way; their new buckets are full, which gives a caller one burst more."""
        self._usage = {name: usage for name, usage in self._usage.items() if usage.calls or usage.streams}

    def _refused(self, name: str, limit: str, allowed: int, again_s: float) -> QmtlError:
        self._count(limit)
        return beyond(repr(name), name, limit, allowed, again_s)


def beyond(who: str, name: str, limit: str, allowed: int, again_s: float) -> QmtlError:
    """Return the refusal of what goes beyond a limit; ``name`` is the caller's, empty of those that have none."""
    milliseconds = max(1, round(again_s * 1_000))
    return QmtlError(
        Reason.RATE_LIMITED,
        f"{who} goes beyond {allowed} {limit.replace('_', ' ')}; come again after {milliseconds} ms",
        metadata={"caller": name, "limit": limit, "allowed": str(allowed), "retry_after_ms": str(milliseconds)},
    )
