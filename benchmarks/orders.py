"""Order ingress: ``PublishIntents`` on one gateway beside bare synced publishes of the same messages."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import grpc
import nats

from benchmarks import bare_ingress, echo
from benchmarks.gateways import bare
from benchmarks.ingress import ACTIVATION, EPOCH, WORLD
from benchmarks.local_stack import LocalStack, state_folder
from benchmarks.measure import MS, OURS, Findings, Line, Target, compare, percentile
from qmtl_foundation.identity import intent_id
from qmtl_foundation.jetstream.streams import intent_subject
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2 as pb
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_foundation.rpc.modes import to_mode
from qmtl_sdk.local import stack

METHOD: Final = "/qmtl.order.v1.OrderService/PublishIntents"
UNDER_WAY: Final = 64  # orders at once, of one call or of many
SIZES: Final = (1, 8, 64)  # intents of a call
ORDERS: Final = 4_096  # of a round
ROUNDS: Final = 7
FLOOR: Final = f"synced publish, {UNDER_WAY} at once"
CALL_FLOOR: Final = "echo + publish, one process"  # a call that carries one order costs more than its publish
TARGET: Final = Target(times=round(1 / 0.65, 2))
BAR: Final = datetime(2026, 1, 5, 21, tzinfo=UTC)

Call = Callable[[bytes], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Load:
    """Hold what was measured of one contender: milliseconds of an order in each round, and of each call."""

    orders: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return orders per second, of the median round."""
        return MS / percentile(self.orders, 0.5)


@dataclass(frozen=True, slots=True)
class Measured:
    """Hold the loads: ours by intents of a call, bare publishes, bare calls, bare calls that publish."""

    ours: dict[int, Load] = field(default_factory=lambda: {size: Load() for size in SIZES})
    publish: Load = field(default_factory=Load)
    echo: Load = field(default_factory=Load)
    both: Load = field(default_factory=Load)


def run() -> Findings:
    """Compare each size of call with the floor, in turns."""
    with state_folder() as folder:
        stack.up(folder, services=())
        measured = asyncio.run(_measured(LocalStack(folder)))
    floor = measured.publish
    lines: list[Line] = []
    for size, load in measured.ours.items():
        what = f"an order through `PublishIntents`, {size} a call"
        lines.append(compare(what, {OURS: load.orders, FLOOR: floor.orders}, FLOOR, TARGET))
        if size == 1:
            both = measured.both.orders
            lines.append(compare(what, {OURS: load.orders, CALL_FLOOR: both}, CALL_FLOOR, TARGET))
        mine, theirs = percentile(load.calls, 0.95), percentile(floor.calls, 0.95)
        lines.append(Line("… its call, p95", mine, FLOOR, theirs, mine / theirs))
    rates = ", ".join(f"{load.rate:,.0f} ({size} a call)" for size, load in measured.ours.items())
    note = (
        f"Orders per second through one gateway, {UNDER_WAY} under way at once: {rates}; bare publishes "
        f"{floor.rate:,.0f}, calls that carry nothing anywhere {measured.echo.rate:,.0f}, calls that publish "
        f"{measured.both.rate:,.0f}."
    )
    return Findings(tuple(lines), (note,))


async def _measured(local: LocalStack) -> Measured:
    bars, measured = itertools.count(), Measured()
    async with (
        _publishes(local) as publish,
        _calls("benchmarks.echo", echo.METHOD, local) as echoed,
        _calls("benchmarks.bare_ingress", bare_ingress.METHOD, local, local.nats_url) as stored,
        _calls("benchmarks.ingress", METHOD, local, local.nats_url, str(local.issuer.folder)) as call,
    ):
        for number in range(ROUNDS + 1):
            warm = number > 0
            for size, load in measured.ours.items():
                await _round(call, _requests(size, bars), size, load if warm else Load())
            contents = [each.SerializeToString() for each in _intents(next(bars), ORDERS)]
            await _round(publish, contents, 1, measured.publish if warm else Load())
            await _round(echoed, _requests(1, bars), 1, measured.echo if warm else Load())
            await _round(stored, _requests(1, bars), 1, measured.both if warm else Load())
    return measured


async def _round(call: Call, contents: Sequence[bytes], size: int, load: Load) -> None:
    """Send everything, each caller one after the other."""
    waiting = iter(contents)

    async def caller() -> None:
        for content in waiting:
            began = time.perf_counter()
            await call(content)
            load.calls.append((time.perf_counter() - began) * MS)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(UNDER_WAY // size)))
    load.orders.append((time.perf_counter() - began) * MS / (len(contents) * size))


def _requests(size: int, bars: itertools.count[int]) -> list[bytes]:
    intents = _intents(next(bars), ORDERS)
    return [
        pb.PublishIntentsRequest(intents=intents[begin : begin + size]).SerializeToString()
        for begin in range(0, ORDERS, size)
    ]


def _intents(bar: int, count: int) -> list[OrderIntent]:
    moment = BAR + timedelta(days=bar)
    return [
        OrderIntent(
            intent_id=intent_id(WORLD, ACTIVATION.strategy_id, moment, symbol),
            world=WORLD,
            strategy_id=ACTIVATION.strategy_id,
            symbol=symbol,
            target=0.25,
            bar_time=moment,
            epoch=EPOCH,
            executor=ACTIVATION.executor,
            strategy_version=ACTIVATION.strategy_version,
            side=ACTIVATION.side,
            mode=to_mode(ACTIVATION.mode),
        )
        for symbol in (f"S{number}" for number in range(count))
    ]


@asynccontextmanager
async def _publishes(local: LocalStack) -> AsyncIterator[Call]:
    """Yield a bare publish to the same stream."""
    connection = await nats.connect(local.nats_url)
    try:
        jetstream, subject = connection.jetstream(), intent_subject("floor", ACTIVATION.executor)
        yield lambda content: jetstream.publish(subject, content)
    finally:
        await connection.close()


@asynccontextmanager
async def _calls(module: str, method: str, local: LocalStack, *arguments: str) -> AsyncIterator[Call]:
    """Yield a method of a server that says its port, in a process of its own."""
    async with bare(module, *arguments) as address, grpc.aio.insecure_channel(address) as channel:
        yield partial(channel.unary_unary(method), metadata=local.metadata)
