"""The floor of an order: a gRPC server that stores a request and answers; ``python -m benchmarks.bare_ingress NATS``.

It says where it listens. Nothing is read or checked: the request's bytes are published as they came, and synced.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import grpc
import nats

from benchmarks.ingress import ACTIVATION
from benchmarks.serving import serve
from qmtl_foundation.jetstream.streams import intent_subject

METHOD: Final = "/bench.Ingress/Publish"
SUBJECT: Final = intent_subject("floor", ACTIVATION.executor)


class BareIngress(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Store every request."""

    def __init__(self, jetstream: Any) -> None:
        self._jetstream = jetstream

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the one handler."""
        return grpc.unary_unary_rpc_method_handler(self._publish)

    async def _publish(self, request: bytes, context: Any) -> bytes:
        stored = await self._jetstream.publish(SUBJECT, request)
        return str(stored.seq).encode()


async def main(nats_url: str) -> None:
    """Serve until killed."""
    connection = await nats.connect(nats_url)
    await serve(BareIngress(connection.jetstream()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
