"""The session on its own thread: one gateway after another, acknowledgements, leases, reports, publishing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import grpc
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2 as events
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.pb.qmtl.order.v1 import report_pb2
from qmtl_foundation.settings import Address
from qmtl_sdk.session.gate import GateState
from qmtl_sdk.session.model import Outcome, Report, Seat, Stamp, Wish
from qmtl_sdk.session.session import RunnerSession
from tests.support.scripted_gateway import Refusal, ScriptedGateway, opened_event, runner, scripted_gateway
from tests.support.waiting import wait_until

RUNNER = runner()
SEAT = Seat(RUNNER.strategy_version, "long", EffectiveMode.PAPER, "paper-1")
WISH = Wish("blake3:" + "2" * 64, "AAPL", datetime(2013, 3, 1, 21, 0, 0, 250_000, tzinfo=UTC), 0.1)


FREEZE, SWITCH, UNFREEZE = (
    events.ACTIVATION_EVENT_KIND_FREEZE,
    events.ACTIVATION_EVENT_KIND_SWITCH,
    events.ACTIVATION_EVENT_KIND_UNFREEZE,
)
OPEN = opened_event()

Begin = Callable[..., RunnerSession]


class Clock:
    """Tell the time that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def begin() -> Iterator[Begin]:
    with ExitStack() as stack:

        def started(
            *gateways: ScriptedGateway, report_position: int | None = None, clock: Clock | None = None
        ) -> RunnerSession:
            addresses = [Address.parse(gateway.address) for gateway in gateways]
            more = {} if clock is None else {"clock": clock}
            return stack.enter_context(RunnerSession(addresses, RUNNER, report_position, **more))

        yield started


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway(OPEN) as served:
        yield served


def reaches(session: RunnerSession, state: GateState) -> None:
    wait_until(lambda: session.state is state)


def test_hello_names_the_runner_and_the_snapshot_opens_and_is_acknowledged(
    begin: Begin, gateway: ScriptedGateway
) -> None:
    session = begin(gateway, report_position=41)
    connection = gateway.connection()
    hello = connection.hello
    assert (hello.world, hello.strategy_id, hello.incarnation) == ("equity", "ana/Trend", "start-1")
    assert (hello.strategy_version, hello.report_position) == (RUNNER.strategy_version, 41)
    reaches(session, GateState.OPEN)
    assert session.stamp() == Stamp(3, SEAT)
    assert connection.acknowledgement() == ack.Acknowledgement(
        world="equity",
        epoch=3,
        run_id="run-1",
        phase=ack.APPLY_PHASE_UNFREEZE,
        sequence=9,
        participant="ana/Trend",
        kind=ack.PARTICIPANT_KIND_RUNNER,
        incarnation="start-1",
    )


def test_events_are_applied_and_acknowledged_in_their_order(begin: Begin, gateway: ScriptedGateway) -> None:
    session = begin(gateway)
    connection = gateway.connection()
    connection.acknowledgement()
    for number, (kind, phase) in enumerate(
        [(FREEZE, ack.APPLY_PHASE_FREEZE), (SWITCH, ack.APPLY_PHASE_SWITCH), (UNFREEZE, ack.APPLY_PHASE_UNFREEZE)]
    ):
        connection.tell(opened_event(kind, 4, 10 + number))
        said = connection.acknowledgement()
        assert (said.phase, said.epoch, said.sequence) == (phase, 4, 10 + number)
        assert (session.stamp() is not None) is (kind == UNFREEZE)
    assert session.stamp() == Stamp(4, SEAT)


def test_freeze_is_heard_while_the_strategy_computes(begin: Begin, gateway: ScriptedGateway) -> None:
    begin(gateway)
    connection = gateway.connection()
    connection.acknowledgement()
    connection.tell(opened_event(FREEZE, 4, 10))
    assert connection.acknowledgement().phase == ack.APPLY_PHASE_FREEZE  # this thread did nothing for it


def test_event_that_was_told_before_is_not_acknowledged_again(begin: Begin, gateway: ScriptedGateway) -> None:
    begin(gateway)
    connection = gateway.connection()
    connection.acknowledgement()
    connection.tell(opened_event(FREEZE, 3, 8))
    connection.tell(opened_event(FREEZE, 4, 10))
    assert connection.acknowledgement().sequence == 10


def test_heartbeats_are_answered_each_second(begin: Begin, gateway: ScriptedGateway) -> None:
    session = begin(gateway)
    connection = gateway.connection()
    wait_until(lambda: connection.heartbeats >= 2, 10.0)
    assert session.state is GateState.OPEN


def test_ended_session_goes_on_at_another_gateway_with_the_gate_open(begin: Begin, gateway: ScriptedGateway) -> None:
    with scripted_gateway(OPEN) as other:
        session = begin(gateway, other)
        first = gateway.connection()
        reaches(session, GateState.OPEN)
        first.end(Refusal(grpc.StatusCode.UNAVAILABLE, "this gateway is stopping"))
        second = other.connection()
        assert second.hello.incarnation == first.hello.incarnation
        assert session.state is GateState.OPEN


def test_gateway_that_is_not_there_is_passed_over(begin: Begin, gateway: ScriptedGateway) -> None:
    with scripted_gateway() as gone:
        pass
    session = begin(gone, gateway)
    gateway.connection()
    reaches(session, GateState.OPEN)
    assert session.fault is None


def test_silent_gateway_is_left_for_another(begin: Begin, gateway: ScriptedGateway) -> None:
    with scripted_gateway(OPEN) as other:
        session = begin(gateway, other)
        gateway.connection().place = None
        other.connection()
        assert session.state is GateState.OPEN


def test_gate_that_stays_in_doubt_asks_anew(begin: Begin, gateway: ScriptedGateway) -> None:
    session = begin(gateway)
    connection = gateway.connection()
    connection.place = (4, 10)  # the world is further on, and the runner is not told how
    reaches(session, GateState.DOUBTFUL)
    gateway.snapshot = opened_event(UNFREEZE, 4, 12)
    assert gateway.connection().acknowledgement().sequence == 12
    reaches(session, GateState.OPEN)


def test_lease_ends_without_a_word(begin: Begin, gateway: ScriptedGateway) -> None:
    clock = Clock()
    session = begin(gateway, clock=clock)
    gateway.connection().place = None
    reaches(session, GateState.OPEN)
    clock.now += 5.0
    assert session.state is GateState.DOUBTFUL
    assert session.stamp() is None


def test_reports_come_in_order_and_a_new_session_goes_on_behind_them(begin: Begin, gateway: ScriptedGateway) -> None:
    session = begin(gateway)
    connection = gateway.connection()
    for position, outcome in ((5, report_pb2.ORDER_OUTCOME_WORKING), (8, report_pb2.ORDER_OUTCOME_FENCED), (9, 77)):
        report = report_pb2.OrderReport(intent_id=WISH.intent_id, epoch=3, outcome=outcome, reason="X")  # type: ignore[arg-type]  # one of a newer release
        connection.send(pb.FollowResponse(report=pb.DeliveredReport(position=position, report=report)))
    found: list[Report] = []

    def all_came() -> bool:
        found.extend(session.reports())
        return len(found) == 3

    wait_until(all_came, 10.0)
    assert found == [
        Report(position, WISH.intent_id, 3, outcome, "X")
        for position, outcome in ((5, Outcome.WORKING), (8, Outcome.FENCED), (9, Outcome.REFUSED))
    ]
    connection.end()
    assert gateway.connection().hello.report_position == 9


def test_session_that_heard_no_report_goes_on_behind_its_first_welcome(begin: Begin, gateway: ScriptedGateway) -> None:
    gateway.newest_report = 40
    session = begin(gateway)
    connection = gateway.connection()
    assert not connection.hello.HasField("report_position")
    reaches(session, GateState.OPEN)
    gateway.newest_report = 44
    connection.end()
    assert gateway.connection().hello.report_position == session.report_position == 40


def test_wishes_are_published_as_stamped(begin: Begin, gateway: ScriptedGateway) -> None:
    session = begin(gateway)
    reaches(session, GateState.OPEN)
    stamp = session.stamp()
    assert stamp is not None
    session.publish([WISH], stamp, live_consent=True)
    (request,) = gateway.published
    (intent,) = request.intents
    assert request.live_consent
    assert (intent.intent_id, intent.world, intent.strategy_id) == (WISH.intent_id, "equity", "ana/Trend")
    assert (intent.symbol, intent.target, intent.epoch) == ("AAPL", 0.1, 3)
    assert (intent.strategy_version, intent.side, intent.executor) == (RUNNER.strategy_version, "long", "paper-1")
    assert intent.mode == execution_pb2.EFFECTIVE_MODE_PAPER
    assert intent.bar_time.ToDatetime(tzinfo=UTC) == WISH.bar_time


def test_unclear_publish_is_told_apart_from_a_refused_one(begin: Begin, gateway: ScriptedGateway) -> None:
    session = begin(gateway)
    reaches(session, GateState.OPEN)
    stamp = session.stamp()
    assert stamp is not None
    for status, reason in (
        (grpc.StatusCode.UNAVAILABLE, Reason.DEPENDENCY_UNAVAILABLE),
        (grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_FIELD),
    ):
        gateway.refusal = Refusal(status, "no")
        with pytest.raises(QmtlError, match="no") as caught:
            session.publish([WISH], stamp)
        assert caught.value.reason is reason


def test_refused_hello_ends_the_session_with_what_was_said(begin: Begin, gateway: ScriptedGateway) -> None:
    gateway.refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "world: no such name")
    session = begin(gateway)
    with pytest.raises(QmtlError, match="world: no such name"):
        wait_until(lambda: session.state is GateState.OPEN, 10.0)
    with pytest.raises(QmtlError, match="world: no such name"):
        session.wait()


@pytest.mark.parametrize("stands", [True, False])
def test_end_leaves_no_thread(gateway: ScriptedGateway, stands: bool) -> None:
    with RunnerSession([Address.parse(gateway.address)], RUNNER) as session:
        if stands:
            reaches(session, GateState.OPEN)
    assert "qmtl-session" not in {thread.name for thread in threading.enumerate()}
