"""How many streams of health and reflection a server holds at once: anybody may open them, and keep them for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc

from qmtl_foundation.rpc.admission import OPEN
from qmtl_foundation.rpc.limits import STREAMS, beyond
from qmtl_foundation.rpc.wrapping import Wrapping, around, streamed_within

MAX_OPEN_STREAMS: Final = 200
AGAIN_SECONDS: Final = 1.0


class OpenStreams(Wrapping):
    """Refuse streams that need no token beyond so many of all callers together; single calls are always answered."""

    def __init__(self) -> None:
        super().__init__()
        self._held = 0

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler within the limit."""
        if not method.startswith(OPEN):
            return handler
        return around(handler, lambda behaviour: behaviour, lambda behaviour: streamed_within(behaviour, self._place))

    @contextmanager
    def _place(self, _context: grpc.aio.ServicerContext) -> Iterator[None]:
        """Hold one of the streams. Raises QmtlError RATE_LIMITED."""
        if self._held >= MAX_OPEN_STREAMS:
            raise beyond("health and reflection", "", STREAMS, MAX_OPEN_STREAMS, AGAIN_SECONDS)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
