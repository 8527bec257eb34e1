"""Interceptors that put something around each method's handler, once per handler."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final

import grpc

KEPT_METHODS: Final = 256  # whose wrapped handlers are kept; names that nobody serves must not fill the memory


class Wrapping(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Wrap handlers by ``wrapped``, and keep what was wrapped while the handler stays the same."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[grpc.RpcMethodHandler, grpc.RpcMethodHandler]] = {}

    @abstractmethod
    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler with something around it, or the handler itself; None serves the method to nobody."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Return the method's handler, wrapped; None for a method that nobody serves."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method: str = handler_call_details.method
        known = self._kept.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = self.wrapped(handler, method)
        if known is not None or len(self._kept) < KEPT_METHODS:
            self._kept[method] = handler, wrapped
        return wrapped
