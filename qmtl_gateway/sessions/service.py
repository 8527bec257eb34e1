"""``qmtl.control.v1.SessionService``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from opentelemetry.metrics import Histogram

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError, Reason, invalid_field, within
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.pb.qmtl.control.v1.session_service_pb2_grpc import SessionServiceServicer
from qmtl_foundation.pb.qmtl.order.v1 import report_pb2
from qmtl_foundation.requests import REQUEST_ID, check_content_id, check_resource_name, check_strategy_id
from qmtl_foundation.telemetry import LabelledCounter
from qmtl_gateway.sessions.acknowledge import Acknowledgements
from qmtl_gateway.sessions.gates import Gates
from qmtl_gateway.sessions.holders import LEASE_SECONDS, Acknowledged, Holder, Holders
from qmtl_gateway.sessions.messages import phase_of
from qmtl_gateway.sessions.model import Event, Identity, Report
from qmtl_gateway.sessions.reports import Reports
from qmtl_gateway.sessions.session import Renewed, Session, Sessions

HELLO_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 60.0  # a runner that said nothing for so long is gone
METHOD: Final = "/qmtl.control.v1.SessionService/Follow"

Requests = AsyncIterator[pb.FollowRequest]


@dataclass(frozen=True, slots=True)
class SessionMetrics:
    """Hold what sessions count: acknowledgements refused, by field, and how late events are acknowledged, in s."""

    refused: LabelledCounter
    skew: Histogram


class SessionService(SessionServiceServicer):
    """Hold the sessions of runners."""

    def __init__(
        self,
        identity: Identity,
        gates: Gates,
        holders: Holders,
        sessions: Sessions,
        acknowledgements: Acknowledgements,
        reports: Reports,
        metrics: SessionMetrics,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._gates = gates
        self._holders = holders
        self._sessions = sessions
        self._acknowledgements = acknowledgements
        self._reports = reports
        self._metrics = metrics
        self._clock = clock
        self._stopping = False

    async def Follow(self, requests: Requests, context: Any) -> AsyncIterator[pb.FollowResponse]:
        """Answer the hello, then tell what there is to tell while the runner's messages are heard."""
        hello = await _hello(requests)
        holder = Holder(hello.world, hello.strategy_id, hello.incarnation)
        await self._gates.known(holder.world)
        stated = hello.report_position if hello.HasField("report_position") else None
        position = await self._reports.begin(stated)
        # It joins before anything else is handed out: no step of the event loop lies in between.
        session = Session(holder, position, has_missed=self._reports.has_missed(position))
        with self._joined(session) as snapshot:
            yield self._welcome(snapshot, session.position)
            listening = asyncio.create_task(self._listen(requests, session))
            try:
                async for item in session.items(self._reports.missed):
                    yield _RESPONSES[type(item)](item)
            finally:
                listening.cancel()

    def leave(self) -> None:
        """End every session: their runners go on at another gateway."""
        self._stopping = True
        self._sessions.end(_stopping())

    @contextmanager
    def _joined(self, session: Session) -> Iterator[Event | None]:
        """Yield the newest event, which is the first that the runner is told; each newer one follows it."""
        if self._stopping:
            raise _stopping()
        self._holders.connect(session.holder)
        self._sessions.add(session)
        try:
            snapshot = self._gates.newest(session.holder.world)
            if snapshot is not None:
                session.begin(snapshot)
                self._holders.tell(session.holder, snapshot)
            yield snapshot
        finally:
            self._sessions.remove(session)
            self._holders.disconnect(session.holder)

    def tell(self, event: Event) -> None:
        """Tell an event to every session of its world."""
        for session in self._sessions.of_world(event.gate.world):
            if session.tell(event):
                self._holders.tell(session.holder, event)

    async def _listen(self, requests: Requests, session: Session) -> None:
        """Hear a runner until it goes; what is wrong with what it says ends its session."""
        try:
            while True:
                heed_cancellation()
                async with asyncio.timeout(SILENT_SECONDS):
                    request = await anext(requests)
                self._hear(request, session)
        except StopAsyncIteration:
            session.end()
        except TimeoutError:
            session.end(_late("a heartbeat", SILENT_SECONDS))
        except Exception as error:  # its session ends with it, and the interceptor says it as a status
            session.end(error)

    def _hear(self, request: pb.FollowRequest, session: Session) -> None:
        match request.WhichOneof("content"):
            case "heartbeat":
                self._holders.renew(session.holder)
                gate = self._gates.find(session.holder.world)
                place = (0, 0) if gate is None else (gate.epoch, gate.sequence)
                session.renew(Renewed(request.heartbeat.number, *place))
            case "acknowledgement":
                self._acknowledge(request.acknowledgement, session)
            case stated:
                raise invalid_field("content", f"{stated or 'nothing known'}: only heartbeats and acknowledgements now")

    def _acknowledge(self, message: acknowledgement_pb2.Acknowledgement, session: Session) -> None:
        holder = session.holder
        if message.kind != acknowledgement_pb2.PARTICIPANT_KIND_RUNNER:
            raise invalid_field("acknowledgement.kind", "must be RUNNER in a runner's session")
        if 0 < message.sequence < self._holders.acknowledged(holder):
            self._metrics.refused.add("sequence")  # late: it changes nothing, and the newer one stands
            return
        try:
            event = self._holders.acknowledge(holder, _acknowledged(message))
        except QmtlError as error:
            self._metrics.refused.add(error.metadata["field"])
            raise
        if event is None:
            return
        if event.create_time is not None:
            self._metrics.skew.record(max(0.0, (self._clock() - event.create_time).total_seconds()))
        self._acknowledgements.heard(holder.world)

    def _welcome(self, snapshot: Event | None, report_position: int) -> pb.FollowResponse:
        return pb.FollowResponse(
            welcome=pb.Welcome(
                gateway=self._identity.name,
                gateway_incarnation=self._identity.incarnation,
                ttl_ms=round(LEASE_SECONDS * 1000),
                snapshot=None if snapshot is None else _event(snapshot.payload, snapshot.trace).event,
                report_position=report_position,
            ),
            trace="" if snapshot is None else snapshot.trace,
        )


async def _hello(requests: Requests) -> pb.Hello:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            request = await anext(requests)
    except TimeoutError as error:
        raise _late("a hello", HELLO_SECONDS) from error
    except StopAsyncIteration as error:
        raise invalid_field("hello", "is missing: the first message of a session is a hello") from error
    stated = request.WhichOneof("content")
    if stated != "hello":
        raise invalid_field(stated or "content", "the first message of a session is a hello")
    with within("hello"):
        _check_hello(request.hello)
    return request.hello


def _check_hello(hello: pb.Hello) -> None:
    check_resource_name("world", hello.world)
    check_strategy_id(hello.strategy_id)
    check_content_id("strategy_version", hello.strategy_version)
    if not REQUEST_ID.fullmatch(hello.incarnation):
        raise invalid_field("incarnation", "must be 1 to 64 characters of A-Z a-z 0-9 . _ -; a UUID will do")
    if hello.report_position < 0:
        raise invalid_field("report_position", f"{hello.report_position} must be at least 0")


def _acknowledged(message: acknowledgement_pb2.Acknowledgement) -> Acknowledged:
    return Acknowledged(
        world=message.world,
        participant=message.participant,
        incarnation=message.incarnation,
        epoch=message.epoch,
        run_id=message.run_id,
        phase=phase_of(message.phase),
        sequence=message.sequence,
    )


@lru_cache(maxsize=256)
def _event(payload: bytes, trace: str) -> pb.FollowResponse:
    """Return the response of an event, parsed once for all sessions of its world."""
    return pb.FollowResponse(event=activation_event_pb2.ActivationEvent.FromString(payload), trace=trace)


def _renewal(renewed: Renewed) -> pb.FollowResponse:
    return pb.FollowResponse(renewal=pb.Renewal(number=renewed.number, epoch=renewed.epoch, sequence=renewed.sequence))


def _delivered(report: Report) -> pb.FollowResponse:
    message = report_pb2.OrderReport.FromString(report.payload)
    return pb.FollowResponse(report=pb.DeliveredReport(position=report.position, report=message))


_RESPONSES: Final[dict[type, Callable[[Any], pb.FollowResponse]]] = {
    Event: lambda event: _event(event.payload, event.trace),
    Renewed: _renewal,
    Report: _delivered,
}


def _late(what: str, seconds: float) -> QmtlError:
    return QmtlError(
        Reason.DEADLINE_EXCEEDED, f"{what} did not come within {seconds:.0f} s", metadata={"method": METHOD}
    )


def _stopping() -> QmtlError:
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE, "this gateway is stopping; connect again", metadata={"dependency": "gateway"}
    )
