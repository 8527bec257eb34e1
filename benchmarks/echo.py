"""The floor of a call: a gRPC server that answers a request with itself; ``python -m benchmarks.echo`` says where."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc

from benchmarks.serving import serve

METHOD: Final = "/bench.Echo/Echo"


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Answer every unary call with its request, as bytes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the one handler."""
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: Any) -> bytes:
        return request


if __name__ == "__main__":
    asyncio.run(serve(Echo()))
