"""Gateways beside a stack's own: another one on the same PostgreSQL, NATS and services, and one that loses answers."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from qmtl_sdk.local import nats, service
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.state import Endpoint
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

STOP_SECONDS = 15.0


@contextmanager
def another_gateway(stack: StackStatus) -> Iterator[Endpoint]:
    """Run one until the end, and yield where it listens once it is healthy."""
    gateway = next(each for each in SERVICES if each.name == "gateway")
    parts = {each.name: Endpoint(each.address, each.metrics_address) for each in stack.processes}
    own = Endpoint(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    urls = (parts["postgres"].address, nats.url(parts["nats"].address))
    values = {**service.settings(gateway, {**parts, "gateway": own}, *urls), "QMTL_NAME": "another"}
    command = service.command(gateway.arguments, values, ROOT, stack.state_dir / "logs" / "another.log")
    with (
        command.log.open("wb") as log,
        subprocess.Popen(command.argv, env=command.env, cwd=command.directory, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: service.healthy(own.address), 20.0)
            yield own
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()  # nothing, when it has ended; else leaving the block would wait for it without bound


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
            answer: bytes = self._channel.unary_unary(path)(request, timeout=STOP_SECONDS)
            if method == self._lost:
                context.abort(grpc.StatusCode.INTERNAL, "lost")
            return answer

        return grpc.unary_unary_rpc_method_handler(passed_on)


def free_port() -> int:
    """Return a port of the loopback that nobody has at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
