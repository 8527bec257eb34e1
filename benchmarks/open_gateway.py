"""The gateway without its doors: everyone is the administrator ``bench``. Only to measure what the doors cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc

from qmtl_foundation.auth.caller import permitted
from qmtl_foundation.process import run_service
from qmtl_foundation.rpc import admission
from qmtl_foundation.rpc.wrapping import Behaviour, Wrapping, around
from qmtl_gateway import bootstrap
from qmtl_gateway.settings import GatewaySettings

EVERYONE: Final = permitted("bench", ("admin",))


class NoDoor(Wrapping):
    """Let every call in without a look at its token."""

    def wrapped(self, handler: grpc.RpcMethodHandler, method: str) -> grpc.RpcMethodHandler | None:
        """Return a handler that takes its caller for the administrator."""
        return handler if method.startswith(admission.OPEN) else around(handler, self._one, self._stream)

    @staticmethod
    def _one(behaviour: Behaviour) -> Behaviour:
        async def call(request: Any, context: Any) -> Any:
            admission._caller.set(EVERYONE)
            return await behaviour(request, context)

        return call

    @staticmethod
    def _stream(behaviour: Behaviour) -> Behaviour:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            admission._caller.set(EVERYONE)
            async for response in behaviour(request, context):
                yield response

        return call


@asynccontextmanager
async def no_admission(_settings: object) -> AsyncIterator[NoDoor]:
    """Yield what lets everyone in."""
    yield NoDoor()


def main() -> None:
    """Run until signalled."""
    bootstrap.open_admission = no_admission  # type: ignore[assignment,attr-defined]  # another kind of door, for one that it imports
    run_service("gateway", GatewaySettings, bootstrap.running)


if __name__ == "__main__":
    main()
