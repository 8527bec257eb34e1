"""A gateway that does what a test says: it holds sessions over a real channel, and answers heartbeats as it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from qmtl_foundation.pb.qmtl.apply.v1.acknowledgement_pb2 import Acknowledgement
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.pb.qmtl.control.v1.activation_event_pb2 import ActivationEvent
from qmtl_foundation.pb.qmtl.control.v1.session_service_pb2_grpc import (
    SessionServiceServicer,
    add_SessionServiceServicer_to_server,
)
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2 as orders
from qmtl_foundation.pb.qmtl.order.v1.order_service_pb2_grpc import (
    OrderServiceServicer,
    add_OrderServiceServicer_to_server,
)

WAIT_SECONDS = 10.0
TTL_MS = 5_000


class Refusal(Exception):  # noqa: N818  # it is what a gateway answers, not a fault
    """Ask for an answer with a status."""

    def __init__(self, status: grpc.StatusCode, details: str = "") -> None:
        super().__init__(details)
        self.status = status
        self.details = details


class Connection:
    """Be one session: what the runner said, and what it is told."""

    def __init__(self, hello: pb.Hello, place: tuple[int, int] | None) -> None:
        self.hello = hello
        self.place = place  # with which heartbeats are answered; None: they are not
        self.heartbeats = 0
        self._said: queue.Queue[Acknowledgement] = queue.Queue()
        self._told: queue.Queue[pb.FollowResponse | Refusal | None] = queue.Queue()

    def tell(self, event: ActivationEvent) -> None:
        """Tell an event, and stand where it does from now on."""
        self.place = (event.epoch, event.sequence)
        self._told.put(pb.FollowResponse(event=event))

    def send(self, response: pb.FollowResponse) -> None:
        """Send anything."""
        self._told.put(response)

    def end(self, refusal: Refusal | None = None) -> None:
        """End the session."""
        self._told.put(refusal)

    def acknowledgement(self) -> Acknowledgement:
        """Return the next acknowledgement."""
        return self._said.get(timeout=WAIT_SECONDS)

    def hear(self, requests: Iterator[pb.FollowRequest]) -> None:
        """Take what the runner says until it goes."""
        try:
            for request in requests:
                if request.WhichOneof("content") == "acknowledgement":
                    self._said.put(request.acknowledgement)
                elif self.place is not None:
                    self.heartbeats += 1
                    epoch, sequence = self.place
                    renewal = pb.Renewal(number=request.heartbeat.number, epoch=epoch, sequence=sequence)
                    self._told.put(pb.FollowResponse(renewal=renewal))
        except grpc.RpcError:
            pass  # the runner went without a word
        self._told.put(None)

    def responses(self) -> Iterator[pb.FollowResponse]:
        """Yield what is told until the end."""
        while (told := self._told.get()) is not None:
            if isinstance(told, Refusal):
                raise told
            yield told


class ScriptedGateway(SessionServiceServicer, OrderServiceServicer):
    """Welcome runners with ``snapshot``, or answer with ``refusal``; ``published`` is what came."""

    def __init__(self, snapshot: ActivationEvent | None = None) -> None:
        self.snapshot = snapshot
        self.refusal: Refusal | None = None
        self.address = ""
        self.published: list[orders.PublishIntentsRequest] = []
        self._connections: queue.Queue[Connection] = queue.Queue()
        self._open: list[Connection] = []

    def connection(self) -> Connection:
        """Return the next session that begins."""
        return self._connections.get(timeout=WAIT_SECONDS)

    def close(self) -> None:
        """End every session."""
        for connection in self._open:
            connection.end()

    def Follow(  # noqa: N802  # as in the contract
        self, request_iterator: Iterator[pb.FollowRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.FollowResponse]:
        """Hold a session."""
        if self.refusal is not None:
            context.abort(self.refusal.status, self.refusal.details)
        hello = next(request_iterator).hello
        place = None if self.snapshot is None else (self.snapshot.epoch, self.snapshot.sequence)
        connection = Connection(hello, place)
        self._open.append(connection)
        threading.Thread(target=connection.hear, args=(request_iterator,), daemon=True).start()
        welcome = pb.Welcome(gateway="scripted", gateway_incarnation="1", ttl_ms=TTL_MS, snapshot=self.snapshot)
        yield pb.FollowResponse(welcome=welcome)
        self._connections.put(connection)
        try:
            yield from connection.responses()
        except Refusal as refusal:
            context.abort(refusal.status, refusal.details)

    def PublishIntents(  # noqa: N802  # as in the contract
        self, request: orders.PublishIntentsRequest, context: grpc.ServicerContext
    ) -> orders.PublishIntentsResponse:
        """Take intents."""
        if self.refusal is not None:
            context.abort(self.refusal.status, self.refusal.details)
        self.published.append(request)
        return orders.PublishIntentsResponse(positions=range(1, len(request.intents) + 1))


@contextmanager
def scripted_gateway(snapshot: ActivationEvent | None = None) -> Iterator[ScriptedGateway]:
    """Serve a scripted gateway on a free port."""
    gateway = ScriptedGateway(snapshot)
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    add_SessionServiceServicer_to_server(gateway, server)
    add_OrderServiceServicer_to_server(gateway, server)
    gateway.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield gateway
    finally:
        gateway.close()
        server.stop(grace=None).wait(WAIT_SECONDS)
