"""A gateway that does what a test says: it holds sessions over a real channel, and answers heartbeats as it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn

import grpc
from grpc_status import rpc_status

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.pb.qmtl.apply.v1.acknowledgement_pb2 import Acknowledgement
from qmtl_foundation.pb.qmtl.apply.v1.activation_pb2 import Activation, ActivationSet
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2 as events
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.pb.qmtl.control.v1.session_service_pb2_grpc import (
    SessionServiceServicer,
    add_SessionServiceServicer_to_server,
)
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2 as orders
from qmtl_foundation.pb.qmtl.order.v1.order_service_pb2_grpc import (
    OrderServiceServicer,
    add_OrderServiceServicer_to_server,
)
from qmtl_foundation.rpc.status import to_status
from qmtl_sdk.session.model import Runner

WAIT_SECONDS = 10.0
TTL_MS = 5_000

Metadata = Sequence[tuple[str, str | bytes]]


def runner() -> Runner:
    """Return the runner of the strategy that ``opened_event`` has in its set."""
    return Runner("equity", "ana/Trend", f"blake3:{'1' * 64}", "start-1")


def opened_event(
    kind: events.ActivationEventKind = events.ACTIVATION_EVENT_KIND_UNFREEZE, epoch: int = 3, sequence: int = 9
) -> events.ActivationEvent:
    """Return an event of the runner's world, with its strategy in the set; one that opens unless stated."""
    seat = Activation(
        strategy_id=runner().strategy_id,
        strategy_version=runner().strategy_version,
        active=True,
        weight=0.5,
        side="long",
        mode=execution_pb2.EFFECTIVE_MODE_PAPER,
        executor="paper-1",
    )
    told = ActivationSet(world="equity", activations=[seat], epoch=epoch, sequence=sequence)
    return events.ActivationEvent(
        world="equity", sequence=sequence, epoch=epoch, kind=kind, activation_set=told, run_id="run-1"
    )


class Refusal(Exception):  # noqa: N818  # it is what a gateway answers, not a fault
    """Ask for an answer with a status."""

    def __init__(self, status: grpc.StatusCode, details: str = "", metadata: Metadata = ()) -> None:
        super().__init__(details)
        self.status = status
        self.details = details
        self.metadata = metadata

    @classmethod
    def of(cls, error: QmtlError) -> Refusal:
        """Return a domain error as a gateway answers it."""
        status = rpc_status.to_status(to_status(error))
        return cls(status.code, status.details, status.trailing_metadata)

    def answer(self, context: grpc.ServicerContext) -> NoReturn:
        """End a call with it."""
        context.set_trailing_metadata(self.metadata)
        context.abort(self.status, self.details)
        raise AssertionError


class Connection:
    """Be one session: what the runner said, and what it is told."""

    def __init__(self, hello: pb.Hello, place: tuple[int, int] | None) -> None:
        self.hello = hello
        self.place = place  # with which heartbeats are answered; None: they are not
        self.heartbeats = 0
        self._said: queue.Queue[Acknowledgement] = queue.Queue()
        self._told: queue.Queue[pb.FollowResponse | Refusal | None] = queue.Queue()

    def tell(self, event: events.ActivationEvent) -> None:
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
    """Welcome runners with ``snapshot``, or answer with ``refusal``; ``published`` and ``refused`` are what came."""

    def __init__(self, snapshot: events.ActivationEvent | None = None) -> None:
        self.snapshot = snapshot
        self.refusal: Refusal | None = None
        self.newest_report = 0
        self.reports_begin: int | None = None  # what welcomes say whatever hellos state: the stream is another one
        self.address = ""
        self.published: list[orders.PublishIntentsRequest] = []
        self.refused: list[orders.PublishIntentsRequest] = []
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
            self.refusal.answer(context)
        hello = next(request_iterator).hello
        place = None if self.snapshot is None else (self.snapshot.epoch, self.snapshot.sequence)
        connection = Connection(hello, place)
        self._open.append(connection)
        threading.Thread(target=connection.hear, args=(request_iterator,), daemon=True).start()
        stated = hello.report_position if hello.HasField("report_position") else self.newest_report
        welcome = pb.Welcome(
            gateway="scripted",
            gateway_incarnation="1",
            ttl_ms=TTL_MS,
            snapshot=self.snapshot,
            report_position=stated if self.reports_begin is None else self.reports_begin,
        )
        yield pb.FollowResponse(welcome=welcome)
        self._connections.put(connection)
        try:
            yield from connection.responses()
        except Refusal as refusal:
            refusal.answer(context)

    def PublishIntents(  # noqa: N802  # as in the contract
        self, request: orders.PublishIntentsRequest, context: grpc.ServicerContext
    ) -> orders.PublishIntentsResponse:
        """Take intents."""
        if self.refusal is not None:
            self.refused.append(request)
            self.refusal.answer(context)
        self.published.append(request)
        return orders.PublishIntentsResponse(positions=range(1, len(request.intents) + 1))


@contextmanager
def scripted_gateway(snapshot: events.ActivationEvent | None = None) -> Iterator[ScriptedGateway]:
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
