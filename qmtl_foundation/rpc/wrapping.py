"""Interceptors that put something around each method's handler, once per handler."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import grpc

from qmtl_foundation.rpc.access import KEPT_METHODS

Behaviour = Callable[..., Any]
"""What answers a call: a coroutine, or for a stream an asynchronous generator."""
Wrap = Callable[[Behaviour], Behaviour]


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


def around(
    handler: grpc.RpcMethodHandler, one: Wrap, stream: Wrap, dialogue: Wrap | None = None, *, reads: bool = False
) -> grpc.RpcMethodHandler | None:
    """Return a handler with a wrap around its behaviour, by its kind; a dialogue is wrapped as a stream unless stated.

    ``reads``: the wraps read the request themselves, from bytes. None for a method that takes a stream and answers
    once: no method of ours is such, and none is to get past a door unseen.
    """
    codec = (None if reads else handler.request_deserializer, handler.response_serializer)
    if handler.request_streaming and not handler.response_streaming:
        return None
    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler((dialogue or stream)(handler.stream_stream), *codec)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream(handler.unary_stream), *codec)
    return grpc.unary_unary_rpc_method_handler(one(handler.unary_unary), *codec)


def streamed_within(
    behaviour: Behaviour, entered: Callable[[grpc.aio.ServicerContext], AbstractContextManager[None]]
) -> Behaviour:
    """Return what answers a stream within what is entered when its call comes and left when the stream has ended."""

    async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        with entered(context):
            async for response in behaviour(request, context):
                yield response

    return call
