"""The inner door: requests are read, and their callers held against what the contract states of the method.

It stands behind the outer one (``admission``), so that nothing is read for a stranger. What a gateway forwards comes as
bytes and stays so: the service that reads it holds its caller against the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from qmtl_foundation.rpc.access import Access, stated_access
from qmtl_foundation.rpc.admission import OPEN, caller
from qmtl_foundation.rpc.reading import Parser, parser
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around


class Permissions(Wrapping):
    """Let a request through to its method where its caller may ask it."""

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler behind the inner door, which takes bytes."""
        if method.startswith(OPEN):
            return handler
        read = handler.request_deserializer
        judge = _Judge(stated_access(method), None if read is None else parser(read))
        return around(handler, judge.one, judge.stream, judge.dialogue, reads=True)


class _Judge:
    """Read the requests of one method, and hold their callers against them."""

    def __init__(self, access: Access, parse: Parser | None) -> None:
        self._access = access
        self._parse = parse

    def one(self, behaviour: Behaviour) -> Behaviour:
        """Judge the request of a call that is answered once."""

        async def call(content: bytes, context: grpc.aio.ServicerContext) -> Any:
            return await behaviour(self._read(content), context)

        return call

    def stream(self, behaviour: Behaviour) -> Behaviour:
        """Judge the request of a call that is answered by a stream."""

        async def call(content: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            async for response in behaviour(self._read(content), context):
                yield response

        return call

    def dialogue(self, behaviour: Behaviour) -> Behaviour:
        """Judge each message of a dialogue."""

        async def call(contents: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            async def judged() -> AsyncIterator[Any]:
                async for content in contents:
                    yield self._read(content, in_dialogue=True)

            async for response in behaviour(judged(), context):
                yield response

        return call

    def _read(self, content: bytes, *, in_dialogue: bool = False) -> Any:
        """Return the request, or its bytes where they are passed on. Raises QmtlError as ``Access``."""
        access, found = self._access, caller()
        if in_dialogue:  # of all others the outer door has seen the size
            access.check_size(content)
        if self._parse is None:
            if access.is_public:  # what is not is refused by whom it is forwarded to, or by name
                access.check_at_all(found)
            return content
        access.check_at_all(found)
        request = self._parse(content)
        access.check(found, request, in_dialogue=in_dialogue)
        return request
