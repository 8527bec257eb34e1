"""The outer door: every call's token is verified before anything of its request is read.

Health and reflection answer everyone: probes carry no token, and the contract is no secret.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final

import grpc

from qmtl_foundation.auth.bearer import AUTHORIZATION, token_of
from qmtl_foundation.auth.caller import Caller
from qmtl_foundation.auth.keys import open_keys
from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.auth.tokens import Tokens, unauthenticated
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.rpc.access import Access, stated_access
from qmtl_foundation.rpc.status import internal_error
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around

OPEN: Final = ("/grpc.health.", "/grpc.reflection.")  # tools try one version after another

RECHECK_SECONDS: Final = 60.0  # of streams: how long a withdrawn key may still be believed

_caller: Final[ContextVar[Caller]] = ContextVar("caller")


def caller() -> Caller:
    """Return who makes the call that is being answered. Raises LookupError outside of one."""
    return _caller.get()


@asynccontextmanager
async def open_admission(settings: AuthSettings) -> AsyncIterator[Admission]:
    """Yield what lets calls in by the tokens of one issuer."""
    async with open_keys(settings.jwks) as keys:
        yield Admission(Tokens(keys, settings))


class Admission(Wrapping):
    """Let in who has a token of the issuer; ``caller`` tells the method who it is.

    A stream ends when its token does, or when the token's key is withdrawn: its client comes again with a newer one.
    """

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler behind the outer door."""
        if method.startswith(OPEN):
            return handler
        access = stated_access(method)
        return around(
            handler,
            lambda behaviour: self._unary(behaviour, access),
            lambda behaviour: self._stream(behaviour, access),
        )

    def _unary(self, behaviour: Behaviour, access: Access) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            _caller.set(await self._tokens.caller(_token(context)))
            _check_size(access, request)
            return await behaviour(request, context)

        return call

    def _stream(self, behaviour: Behaviour, access: Access) -> Behaviour:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            token = _token(context)
            found = await self._tokens.caller(token)
            _caller.set(found)
            _check_size(access, request)
            with self._while_believed(token, found):
                async for response in behaviour(request, context):
                    yield response

        return call

    @contextmanager
    def _while_believed(self, token: str, found: Caller) -> Iterator[None]:
        """End what goes on inside, a stream, when its token is believed no longer. Raises QmtlError as ``Tokens``."""
        task, faults = asyncio.current_task(), list[QmtlError]()

        async def watch() -> None:
            while not faults:
                heed_cancellation()
                left = found.expires + self._tokens.skew_seconds - time.time()
                await asyncio.sleep(max(0.0, min(RECHECK_SECONDS, left)))
                try:
                    await self._tokens.caller(token)
                except Exception as error:  # in doubt the stream ends
                    faults.append(error if isinstance(error, QmtlError) else internal_error(error))
                    if task is not None:
                        task.cancel()

        watching = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError as cancelled:
            if not faults or task is None:
                raise
            task.uncancel()
            raise faults[0] from cancelled
        finally:
            watching.cancel()


def _token(context: grpc.aio.ServicerContext) -> str:
    stated = [value for name, value in context.invocation_metadata() or () if name == AUTHORIZATION]
    if not stated:
        raise unauthenticated("missing", "the call carries no token: send metadata 'authorization: Bearer <token>'")
    token = token_of(stated[0]) if len(stated) == 1 else None
    if token is None:
        raise unauthenticated("malformed", "the metadata 'authorization' must be one text 'Bearer <token>'")
    return token


def _check_size(access: Access, request: Any) -> None:
    """Raise QmtlError TOO_LARGE before a request waits anywhere; of a dialogue the messages are still to come."""
    if isinstance(request, bytes):
        access.check_size(request)
