"""The floor of a gateway: ``python -m benchmarks.bare_gateway NAME NATS RUN_ADDRESS`` says where it listens.

It follows a stream, sends each event down every session, and acknowledges it by a call; the first of each run's three
only when every session has answered. Bytes are passed on as they are.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import grpc
import nats
from nats.js.api import DeliverPolicy

from benchmarks.bare_run import ACKNOWLEDGE, EVENTS, TOLD
from benchmarks.serving import serve

FOLLOW: Final = "/bench.Session/Follow"


class BareSessions(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Hold sessions."""

    def __init__(self, name: str, acknowledge: Any) -> None:
        self._name = name
        self._acknowledge = acknowledge
        self._sessions: set[asyncio.Queue[bytes]] = set()
        self._awaited = 0
        self._answered = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the one handler."""
        return grpc.stream_stream_rpc_method_handler(self._follow)

    async def _follow(self, requests: Any, context: Any) -> None:
        waiting: asyncio.Queue[bytes] = asyncio.Queue()
        await context.read()  # a hello
        self._sessions.add(waiting)
        await context.write(b"welcome")
        hearing = asyncio.create_task(self._hear(context))
        try:
            while True:
                await context.write(await waiting.get())
        finally:
            self._sessions.discard(waiting)
            hearing.cancel()

    async def _hear(self, context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            self._awaited -= 1
            if self._awaited == 0:
                self._answered.set()

    async def tell(self, message: Any) -> None:
        """Pass an event on, and acknowledge it."""
        number = message.data.partition(b" ")[0]
        self._awaited += len(self._sessions)
        self._answered.clear()
        for waiting in self._sessions:
            waiting.put_nowait(message.data)
        task = asyncio.create_task(self._acknowledged(number, freezes=int(number) % len(TOLD) == 1))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _acknowledged(self, number: bytes, *, freezes: bool) -> None:
        if freezes and self._sessions:
            await self._answered.wait()
        await self._acknowledge(self._name.encode() + b" " + number)


async def main(name: str, nats_url: str, address: str) -> None:
    """Serve until killed."""
    connection = await nats.connect(nats_url)
    async with grpc.aio.insecure_channel(address) as channel:
        sessions = BareSessions(name, channel.unary_unary(ACKNOWLEDGE))
        jetstream = connection.jetstream()
        await jetstream.subscribe(EVENTS, cb=sessions.tell, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW)
        await serve(sessions)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
