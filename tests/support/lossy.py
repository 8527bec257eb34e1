"""A gateway in front of a stack's own that loses answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

STOP_SECONDS = 15.0


@contextmanager
def lossy_gateway(address: str, lost: str, refused: str = "") -> Iterator[str]:
    """Pass calls on to the gateway at ``address``, and yield where: but INTERNAL for two methods, by their names.

    ``lost`` is carried out and its answer lost, ``refused`` is not carried out.
    """
    with grpc.insecure_channel(address) as channel:
        server = grpc.server(ThreadPoolExecutor(max_workers=2), handlers=[_Lossy(channel, lost, refused)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait(STOP_SECONDS)


class _Lossy(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, channel: grpc.Channel, lost: str, refused: str) -> None:
        self._channel = channel
        self._lost = lost
        self._refused = refused

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return what passes a method on."""
        path: str = handler_call_details.method
        method = path.rpartition("/")[2]

        def passed_on(request: bytes, context: grpc.ServicerContext) -> bytes:
            if method == self._refused:
                context.abort(grpc.StatusCode.INTERNAL, "refused")
            carried = [each for each in context.invocation_metadata() if each.key == "authorization"]
            answer: bytes = self._channel.unary_unary(path)(request, timeout=STOP_SECONDS, metadata=carried)
            if method == self._lost:
                context.abort(grpc.StatusCode.INTERNAL, "lost")
            return answer

        return grpc.unary_unary_rpc_method_handler(passed_on)
