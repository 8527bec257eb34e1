"""The whole stack as recorded: the reader finds what was done, and the checker nothing to complain of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import nats

from qmtl_foundation.identity import intent_id
from qmtl_foundation.jetstream.streams import ORDERS, intent_subject
from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2, run_pb2
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2, order_service_pb2_grpc
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_foundation.rpc.timestamps import to_timestamp
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from tests.faults.checker import check
from tests.faults.history.facts import History
from tests.faults.history.reading import read_history
from tests.faults.history.recorder import install, note_outage
from tests.support.applies import is_open, over, played_gateway, resume, roll_back, start, stop, told, trading_world
from tests.support.credentials import nats_url_of, token_of
from tests.support.desk import CALL_SECONDS, Desk
from tests.support.waiting import becomes, wait_until

BAR = datetime(2012, 3, 1, 21, tzinfo=UTC)  # of the built-in preset
SYMBOLS = ("AAPL", "IBM", "MSFT")
PASSED = "SELECT position >= $2 FROM executor.place WHERE world = $1"
FREEZING = run_pb2.RUN_PHASE_FREEZING


def intents(of: activation_pb2.ActivationSet, bar: int) -> list[list[OrderIntent]]:
    """Return what each strategy of a set wishes at a bar, as its runner stamps it."""
    bar_time = BAR + timedelta(days=bar)
    return [
        [
            OrderIntent(
                intent_id=intent_id(of.world, each.strategy_id, bar_time, symbol),
                world=of.world,
                strategy_id=each.strategy_id,
                symbol=symbol,
                target=0.1 + 0.01 * (bar % 7),
                bar_time=to_timestamp(bar_time),
                epoch=of.epoch,
                executor=each.executor,
                strategy_version=each.strategy_version,
                side=each.side,
                mode=each.mode,
            )
            for symbol in SYMBOLS
        ]
        for each in of.activations
    ]


async def trade(desk: Desk, dsn: str, world: str, bars: Sequence[int]) -> activation_pb2.ActivationSet:
    """Publish at the gateway what an open world's strategies wish, until the executor has passed it; return their set.

    What an executor has not passed when its world freezes it may execute or not.
    """
    wait_until(lambda: is_open(desk, world))
    of = told(desk, world).activation_set
    orders = order_service_pb2_grpc.OrderServiceStub(desk.channel)
    positions: list[int] = []
    for bar in bars:
        for wishes in intents(of, bar):
            request = order_service_pb2.PublishIntentsRequest(intents=wishes)
            positions.extend(orders.PublishIntents(request, timeout=CALL_SECONDS, wait_for_ready=True).positions)
    await passed(dsn, world, max(positions))
    return of


async def passed(dsn: str, world: str, position: int) -> None:
    """Wait until the executor has passed a place."""
    connection = await asyncpg.connect(dsn)

    async def is_there() -> bool:
        return bool(await connection.fetchval(PASSED, world, position))

    try:
        await becomes(is_there, True)
    finally:
        await connection.close()


async def send_late(nats_url: str, of: activation_pb2.ActivationSet, bar: int) -> None:
    """Store intents as a gateway does that was paused with orders in hand."""
    client = await nats.connect(nats_url)
    try:
        for wishes in intents(of, bar):
            for wish in wishes:
                subject = intent_subject(of.world, wish.executor)
                await client.jetstream().publish(subject, wish.SerializeToString())
    finally:
        await client.close()


async def take_out(nats_url: str, position: int) -> None:
    """Delete a message of the order stream."""
    client = await nats.connect(nats_url)
    try:
        await client.jetstream().delete_msg(ORDERS, position)
    finally:
        await client.close()


async def test_what_the_stack_did_is_read_and_breaks_no_invariant(
    desk: Desk, parts: dict[str, ProcessStatus], stack: StackStatus
) -> None:
    dsn, nats_url = parts["postgres"].address, nats_url_of(parts["nats"])
    await install(dsn)
    await install(dsn)
    world = trading_world(desk)
    traded = await trade(desk, dsn, world, range(3))
    start(desk, world, {"ann/A": 0.5})
    over(desk, world)
    await send_late(nats_url, traded, 3)
    await trade(desk, dsn, world, range(3, 6))
    await trade(desk, dsn, world, [5])
    with played_gateway(parts["world"].address, token_of(stack.state_dir)) as gateway:
        start(desk, world, {"ann/B": 0.5}, "back")
        gateway.lead(desk, world, FREEZING, "back")
        roll_back(desk, world, "back")
        assert gateway.finish(desk, world, "back").phase == run_pb2.RUN_PHASE_ROLLED_BACK
    await trade(desk, dsn, world, [6])
    stop(desk, world)
    resume(desk, world)
    await trade(desk, dsn, world, [7])
    now = datetime.now(UTC)
    await note_outage(dsn, now, now + timedelta(milliseconds=1), "nothing")

    async def read() -> History:
        return await read_history(dsn, nats_url, world, at_rest=True)

    async def complaints() -> list[str]:
        return [str(each) for each in check(await read())]

    with suppress(TimeoutError):
        await becomes(complaints, [])
    assert await complaints() == []
    history = await read()
    found_all_of_it(history)
    await take_out(nats_url, history.marks[1].position)
    number = history.marks[1].number
    assert "S5" in {each.invariant for each in check(await read())}
    rest = await read_history(dsn, nats_url, world, at_rest=True, deleted_marks=frozenset({number}))
    assert check(rest) == []
    assert [each.number for each in rest.marks if each.deleted] == [number]


def found_all_of_it(history: History) -> None:
    """Compare what was read with what was done."""
    phases = {each.run_id: each.phase for each in history.runs}
    assert {run: phases[run] for run in ("run", "back", "resume")} == {
        "run": "completed",
        "back": "rolled_back",
        "resume": "completed",
    }
    assert len(history.intents) == 3 * 2 * 3 + 3 * 2 + 3 * 3 + 3 + 3 + 3
    assert [each.outcome for each in history.turned_away] == ["fenced"] * 6
    assert {each.outcome for each in history.reports} >= {"working", "filled", "fenced"}
    assert sum(each.position == 0 for each in history.journal) == 3  # of B, which left the set
    assert sum(each.position > 0 for each in history.journal) == 18 + 9 + 3 + 3
    for name in ("marks", "events", "acknowledgements", "records", "enrolments", "outbox", "executor_places"):
        assert getattr(history, name), name
    for name in ("fills", "lines", "paper_orders", "paper_accounts", "outages"):
        assert getattr(history, name), name
    for name in history.changes.__dataclass_fields__:
        assert getattr(history.changes, name), name
    assert history.place is not None
    assert history.place.is_open
