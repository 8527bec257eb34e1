"""The inner door: requests are read, and their callers held against what the contract states of the method.

It stands behind the outer one (``admission``), so that nothing is read for a stranger. What a gateway forwards comes as
bytes and stays so: the service that reads it holds its caller against the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from qmtl_foundation.rpc.access import Access, stated_access
from qmtl_foundation.rpc.admission import OPEN, caller
from qmtl_foundation.rpc.reading import Parser, parser
from qmtl_foundation.rpc.wrapping import Wrapping


class Permissions(Wrapping):
    """Let a request through to its method where its caller may ask it."""

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler:
        """Return a handler behind the inner door, which takes bytes."""
        if method.startswith(OPEN):
            return handler
        access, read = stated_access(method), handler.request_deserializer
        judge = _Judge(access, None if read is None else parser(read))
        answer = handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(_dialogue(handler.stream_stream, judge), None, answer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_stream(handler.unary_stream, judge), None, answer)
        return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary, judge), None, answer)


class _Judge:
    """Read a request of one method, and hold its caller against it."""

    def __init__(self, access: Access, parse: Parser | None) -> None:
        self._access = access
        self._parse = parse

    def read(self, content: bytes, *, in_dialogue: bool = False) -> Any:
        """Return the request, or its bytes where they are passed on."""
        access, found = self._access, caller()
        access.check_size(content)
        if self._parse is None:
            if access.is_public:  # what is not is refused by whom it is forwarded to, or by name
                access.check_at_all(found)
            return content
        access.check_at_all(found)
        request = self._parse(content)
        access.check(found, request, in_dialogue=in_dialogue)
        return request


def _unary(behaviour: Callable[..., Awaitable[Any]], judge: _Judge) -> Callable[..., Awaitable[Any]]:
    async def call(content: bytes, context: grpc.aio.ServicerContext) -> Any:
        return await behaviour(judge.read(content), context)

    return call


def _stream(behaviour: Callable[..., AsyncIterator[Any]], judge: _Judge) -> Callable[..., AsyncIterator[Any]]:
    async def call(content: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async for response in behaviour(judge.read(content), context):
            yield response

    return call


def _dialogue(behaviour: Callable[..., AsyncIterator[Any]], judge: _Judge) -> Callable[..., AsyncIterator[Any]]:
    async def call(contents: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async def judged() -> AsyncIterator[Any]:
            async for content in contents:
                yield judge.read(content, in_dialogue=True)

        async for response in behaviour(judged(), context):
            yield response

    return call
