"""How many streams of health and reflection a server holds at once: anybody may open them, and keep them for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.rpc.admission import OPEN
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around

MAX_OPEN_STREAMS: Final = 200
AGAIN_MS: Final = 1_000


class OpenStreams(Wrapping):
    """Refuse streams that need no token beyond so many of all callers together; single calls are always answered."""

    def __init__(self) -> None:
        super().__init__()
        self._held = 0

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler within the limit."""
        if not method.startswith(OPEN):
            return handler
        return around(handler, lambda behaviour: behaviour, self._stream)

    def _stream(self, behaviour: Behaviour) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            if self._held >= MAX_OPEN_STREAMS:
                raise _refused()
            self._held += 1
            try:
                async for response in behaviour(request, context):
                    yield response
            finally:
                self._held -= 1

        return call


def _refused() -> QmtlError:
    return QmtlError(
        Reason.RATE_LIMITED,
        f"strangers hold {MAX_OPEN_STREAMS} streams of health and reflection; come again after {AGAIN_MS} ms",
        metadata={"caller": "", "limit": "streams", "allowed": str(MAX_OPEN_STREAMS), "retry_after_ms": str(AGAIN_MS)},
    )
