"""Orders of a strategy that runs: sent through an open gate, again where that may help, and never in vain for long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_model import Rebalance
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2 as events
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2 as pb
from qmtl_foundation.pb.qmtl.order.v1 import report_pb2
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_foundation.settings import Address
from qmtl_sdk.session.emission import Emission
from qmtl_sdk.session.gate import GateState
from qmtl_sdk.session.journal import IntentJournal, State
from qmtl_sdk.session.orders import KEPT_BACK_SECONDS, MENDING_SECONDS, RETRY_SECONDS, Orders
from qmtl_sdk.session.session import RunnerSession
from tests.support.scripted_gateway import Connection, Refusal, ScriptedGateway, opened_event, runner, scripted_gateway
from tests.support.waiting import wait_until

DAY_NS = 86_400 * 10**9
SYMBOLS = ("A", "B")


class Clock:
    """Tell the time that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway(opened_event()) as served:
        yield served


@pytest.fixture
def session(gateway: ScriptedGateway) -> Iterator[RunnerSession]:
    with RunnerSession([Address.parse(gateway.address)], runner()) as begun:
        wait_until(lambda: begun.state is GateState.OPEN)
        yield begun


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[IntentJournal]:
    with IntentJournal.open(tmp_path / "journal.db") as opened:
        yield opened


@pytest.fixture
def orders(session: RunnerSession, journal: IntentJournal, clock: Clock) -> Orders:
    emission = Emission("equity", "ana/Trend", SYMBOLS, Rebalance.ON_CHANGE, journal)
    return Orders(session, journal, emission, clock)


def published(gateway: ScriptedGateway) -> list[dict[str, float]]:
    """Return the targets by symbol of each request."""
    return [{each.symbol: each.target for each in request.intents} for request in gateway.published]


def test_targets_are_sent_once(orders: Orders, gateway: ScriptedGateway) -> None:
    orders.state(0, np.array([0.5, 0.25]))
    orders.work()
    orders.work()
    assert published(gateway) == [{"A": 0.5, "B": 0.25}]
    assert orders.counts[State.ACCEPTED] == orders.outstanding() == 2
    assert not orders.settled()


@pytest.mark.parametrize(
    "error",
    [
        QmtlError(Reason.DEPENDENCY_UNAVAILABLE, "away", metadata={}),
        QmtlError(Reason.GATE_CLOSED, "closed", metadata={}),
        QmtlError(Reason.EPOCH_MISMATCH, "another epoch", metadata={}),
    ],
)
def test_what_may_pass_later_is_sent_again_after_a_while(
    error: QmtlError, orders: Orders, gateway: ScriptedGateway, clock: Clock
) -> None:
    gateway.refusal = Refusal.of(error)
    orders.state(0, np.array([0.5, np.nan]))
    orders.work()
    assert orders.counts[State.ACCEPTED] == 0
    gateway.refusal = None
    orders.work()
    assert published(gateway) == []
    clock.now += RETRY_SECONDS
    orders.work()
    assert published(gateway) == [{"A": 0.5}]


@pytest.mark.parametrize("reason", [Reason.UNAUTHENTICATED, Reason.RATE_LIMITED])
def test_what_its_caller_is_refused_for_waits_and_is_told(
    reason: Reason, orders: Orders, gateway: ScriptedGateway, clock: Clock
) -> None:
    gateway.refusal = Refusal.of(QmtlError(reason, "the token has expired", metadata={"fault": "expired"}))
    orders.state(0, np.array([0.5, np.nan]))
    orders.work()
    assert orders.fault is not None
    assert (orders.fault.reason, orders.fault.message) == (reason, "the token has expired")
    gateway.refusal = None
    clock.now += MENDING_SECONDS
    orders.work()
    assert (orders.fault, published(gateway)) == (None, [{"A": 0.5}])


def test_unclear_send_is_on_disk(orders: Orders, gateway: ScriptedGateway, journal: IntentJournal) -> None:
    gateway.refusal = Refusal(grpc.StatusCode.UNAVAILABLE)
    orders.state(0, np.array([0.5, 0.25]))
    orders.work()
    sent = [each.intent_id for each in gateway.refused[-1].intents]
    assert {each.state for each in journal.find(sent).values()} == {State.WRITTEN}
    assert journal.count(State.WRITTEN) == len(sent) == 2


def test_id_that_stands_for_another_content_is_left_out_and_the_others_are_sent(
    orders: Orders, gateway: ScriptedGateway, journal: IntentJournal, clock: Clock
) -> None:
    orders.state(0, np.array([0.5, 0.25]))
    gateway.refusal = Refusal(grpc.StatusCode.UNAVAILABLE)
    orders.work()
    with_id = gateway.refused[-1].intents[0].intent_id
    gateway.refusal = Refusal.of(QmtlError(Reason.INTENT_EXISTS, "taken", metadata={"intent_id": with_id}))
    clock.now += RETRY_SECONDS
    orders.work()
    gateway.refusal = None
    clock.now += RETRY_SECONDS
    orders.work()
    assert published(gateway) == [{"B": 0.25}]
    assert journal.find([with_id])[with_id].state is State.REFUSED
    assert orders.counts[State.REFUSED] == 1


def test_what_no_later_call_would_mend_is_raised(orders: Orders, gateway: ScriptedGateway) -> None:
    gateway.refusal = Refusal.of(QmtlError(Reason.INVALID_FIELD, "symbol: too long", metadata={"field": "symbol"}))
    orders.state(0, np.array([0.5, np.nan]))
    with pytest.raises(QmtlError, match="symbol: too long"):
        orders.work()


def test_nothing_is_sent_while_the_gate_is_closed_and_the_newest_once_it_is_open(
    orders: Orders, session: RunnerSession, gateway: ScriptedGateway
) -> None:
    connection = gateway.connection()
    connection.tell(opened_event(events.ACTIVATION_EVENT_KIND_FREEZE, epoch=4, sequence=10))
    wait_until(lambda: session.state is GateState.FROZEN)
    for bar, target in enumerate((0.1, 0.2, 0.3)):
        orders.state(bar * DAY_NS, np.array([target, np.nan]))
        orders.work()
    assert published(gateway) == []
    connection.tell(opened_event(epoch=4, sequence=11))
    wait_until(lambda: session.state is GateState.OPEN)
    orders.work()
    assert published(gateway) == [{"A": 0.3}]
    assert gateway.published[0].intents[0].epoch == 4


def tell(orders: Orders, connection: Connection, intent: OrderIntent, position: int, outcome: int) -> None:
    """Report what came of an intent, and wait until the orders have heard it."""
    report = report_pb2.OrderReport(intent_id=intent.intent_id, epoch=intent.epoch, outcome=outcome)  # type: ignore[arg-type]  # a number of the enum
    heard = orders.counts.total()
    connection.send(pb.FollowResponse(report=pb.DeliveredReport(position=position, report=report)))

    def told() -> bool:
        orders.work()
        return orders.counts.total() > heard

    wait_until(told)


def test_intent_that_is_kept_back_within_the_epoch_is_sent_again_later_and_later(
    orders: Orders, gateway: ScriptedGateway, clock: Clock
) -> None:
    connection = gateway.connection()
    orders.state(0, np.array([0.5, np.nan]))
    orders.work()
    for position, wait in enumerate((1.0, 2.0, 4.0, 8.0), 1):
        (intent,) = gateway.published[-1].intents
        tell(orders, connection, intent, position, report_pb2.ORDER_OUTCOME_FENCED)
        clock.now += wait - 0.01
        orders.work()
        assert len(gateway.published) == position
        assert not orders.settled()
        clock.now += 0.02
        orders.work()
        assert len(gateway.published) == position + 1
        assert gateway.published[-1].intents[0] == intent
    tell(orders, connection, intent, 9, report_pb2.ORDER_OUTCOME_FILLED)
    assert orders.settled()
    orders.state(DAY_NS, np.array([0.25, np.nan]))
    orders.work()
    (intent,) = gateway.published[-1].intents
    tell(orders, connection, intent, 10, report_pb2.ORDER_OUTCOME_FENCED)
    clock.now += KEPT_BACK_SECONDS
    orders.work()
    assert gateway.published[-1].intents[0] == intent


def test_intent_of_a_later_bar_that_was_kept_back_is_sent_again_after_a_restart(
    orders: Orders, session: RunnerSession, journal: IntentJournal, gateway: ScriptedGateway, clock: Clock
) -> None:
    connection = gateway.connection()
    for bar, target in enumerate((0.5, 0.25, 0.75)):
        orders.state(bar * DAY_NS, np.array([target, np.nan]))
        orders.work()
        (intent,) = gateway.published[-1].intents
        outcome = report_pb2.ORDER_OUTCOME_FENCED if bar else report_pb2.ORDER_OUTCOME_FILLED
        tell(orders, connection, intent, bar + 1, outcome)
    sent = len(gateway.published)
    again = Orders(session, journal, Emission("equity", "ana/Trend", SYMBOLS, Rebalance.ON_CHANGE, journal), clock)
    for bar, target in enumerate((0.5, 0.25, 0.75)):
        again.state(bar * DAY_NS, np.array([target, np.nan]))
        again.work()
    assert [request.intents[0] for request in gateway.published[sent:]] == [intent]  # not that of the bar before it
    tell(again, connection, intent, 4, report_pb2.ORDER_OUTCOME_FENCED)
    for bar in range(3, 6):  # bars that state nothing new bring nothing forward
        again.state(bar * DAY_NS, np.array([np.nan, np.nan]))
        again.work()
    assert len(gateway.published) == sent + 1
    clock.now += 2 * KEPT_BACK_SECONDS
    again.work()
    assert [request.intents[0] for request in gateway.published[sent:]] == [intent, intent]


def test_place_of_the_first_welcome_is_on_disk_before_the_first_intent_is_sent(
    gateway: ScriptedGateway, journal: IntentJournal
) -> None:
    gateway.newest_report = 7
    with RunnerSession([Address.parse(gateway.address)], runner(), journal.report_position()) as session:
        emission = Emission("equity", "ana/Trend", SYMBOLS, Rebalance.ON_CHANGE, journal)
        orders = Orders(session, journal, emission)
        wait_until(lambda: session.state is GateState.OPEN)
        assert journal.report_position() is None
        gateway.refusal = Refusal(grpc.StatusCode.UNAVAILABLE)
        orders.state(0, np.array([0.5, np.nan]))
        orders.work()
    assert (journal.report_position(), journal.count(State.WRITTEN)) == (7, 1)


def test_place_of_a_stream_of_reports_that_is_gone_is_not_kept(
    gateway: ScriptedGateway, journal: IntentJournal, clock: Clock
) -> None:
    journal.write([], 3, report_position=40)
    with RunnerSession([Address.parse(gateway.address)], runner(), journal.report_position()) as session:
        orders = Orders(session, journal, Emission("equity", "ana/Trend", SYMBOLS, Rebalance.ON_CHANGE, journal), clock)
        connection = gateway.connection()
        orders.state(0, np.array([0.5, np.nan]))
        wait_until(lambda: session.state is GateState.OPEN)
        orders.work()
        (intent,) = gateway.published[0].intents
        for _ in range(2):  # the stream is made anew, and once more
            tell(orders, connection, intent, 50, report_pb2.ORDER_OUTCOME_WORKING)
            gateway.reports_begin = 0
            connection.end()
            connection = gateway.connection()
            tell(orders, connection, intent, 3, report_pb2.ORDER_OUTCOME_FILLED)
            assert journal.report_position() in {0, 3}  # 0: heard at once with the welcome, and heard again
            assert session.report_position == 0
            gateway.reports_begin = None


def test_reports_settle_what_was_sent(orders: Orders, session: RunnerSession, gateway: ScriptedGateway) -> None:
    connection = gateway.connection()
    orders.state(0, np.array([0.5, np.nan]))
    orders.work()
    (intent,) = gateway.published[0].intents
    for position, outcome in enumerate((report_pb2.ORDER_OUTCOME_WORKING, report_pb2.ORDER_OUTCOME_FILLED), 1):
        report = report_pb2.OrderReport(intent_id=intent.intent_id, epoch=intent.epoch, outcome=outcome)
        connection.send(pb.FollowResponse(report=pb.DeliveredReport(position=position, report=report)))

    def filled() -> bool:
        orders.work()
        return orders.counts[State.FILLED] == 1

    wait_until(filled)
    assert orders.settled()
    assert orders.counts[State.WORKING] == 1
