"""Apply runs, freeze to unfreeze, beside their commits, publishes and session messages bare; how late events come."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import nats

from benchmarks import bare_run
from benchmarks.crossover import SmaCross
from benchmarks.gateways import another_gateway, bare, quantile, read_skew
from benchmarks.local_stack import LocalStack, Metadata, qmtl, running_stack
from benchmarks.measure import MS, OURS, Findings, Line, Target, compare, percentile
from benchmarks.runners import STRATEGY, WORLD, Held, holding
from qmtl_foundation.jetstream.streams import CONTROL, event_subject
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import ApplyServiceStub
from qmtl_sdk import Runner
from qmtl_sdk.local.state import Endpoint, Layout, load

FLOOR: Final = "commits + publishes"
FLOOR_SESSIONS: Final = "the same + bare streams"
EVENTS_OF_RUN: Final = len(bare_run.TOLD)
END_SECONDS: Final = 60.0
POLICY: Final = Path(__file__).resolve().parents[1] / "examples" / "policy.yaml"

Round = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """Say with how many gateways and runners, in how many rounds, and what is to be reached."""

    gateways: int
    runners: int
    rounds: int
    target: Target | None = None
    processes: int = 1  # that hold the runners' sessions

    @property
    def what(self) -> str:
        """Return the row's name."""
        gateways = "1 gateway" if self.gateways == 1 else f"{self.gateways} gateways"
        return f"freeze to unfreeze, {gateways}, {f'{self.runners:,}' if self.runners else 'no'} runners"


CASES: Final = (
    Case(1, 0, 60, Target(times=2.0)),
    Case(2, 0, 60, Target(times=2.0)),
    Case(3, 300, 20, Target(times=3.0)),
    Case(3, 1_000, 7, processes=2),
)


@dataclass(slots=True)
class Measured:
    """Hold milliseconds of each round of a case, and the skew of its events, by bucket."""

    case: Case
    times: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], FLOOR: []})
    skew: dict[float, float] = field(default_factory=dict)


def run() -> Findings:
    """Measure each case, ours and the floor in turns."""
    with running_stack() as stack:
        stated = ("--preset", "sample_us_equity_1d", "--share-policy", "world", "--policy", str(POLICY))
        qmtl("world", "create", WORLD, *stated, "--mode", "compute-only")
        Runner.submit(SmaCross, world=WORLD)
        measured = asyncio.run(_measured(stack))
    return Findings(tuple(line for each in measured for line in _lines(each)))


def _lines(measured: Measured) -> list[Line]:
    case, times = measured.case, measured.times
    floor = FLOOR_SESSIONS if case.runners else FLOOR
    times = {OURS: times[OURS], floor: times[FLOOR]}
    lines = [compare(f"{case.what}, p50", times, floor, case.target)]
    mine, theirs = (percentile(each, 0.95) for each in times.values())
    lines.append(Line("… p95", mine, floor, theirs, mine / theirs, case.target if case.runners else None))
    if case.runners:
        lines += [
            Line(
                f"… event written to runner's acknowledgement, p{share * 100:.0f}", quantile(measured.skew, share) * MS
            )
            for share in (0.5, 0.95)
        ]
    return lines


async def _measured(stack: LocalStack) -> list[Measured]:
    async with (
        AsyncExitStack() as held,
        bare("benchmarks.bare_run", stack.postgres_dsn, stack.nats_url) as floor,
        grpc.aio.insecure_channel(floor) as floor_channel,
        grpc.aio.insecure_channel(stack.address("world")) as channel,
    ):
        applies = Applies(ApplyServiceStub(channel), stack.metadata)
        await applies.once()
        payload = await _newest_event(stack)
        ours = [load(Layout(stack.folder)).endpoints["gateway"]]
        theirs: list[str] = []
        found = []
        for case in CASES:
            while len(ours) < case.gateways:
                ours.append(await held.enter_async_context(another_gateway(stack, f"gateway-{len(ours) + 1}")))
            while len(theirs) < case.gateways:
                started = bare("benchmarks.bare_gateway", f"bare-{len(theirs) + 1}", stack.nats_url, floor)
                theirs.append(await held.enter_async_context(started))
            request = f"{case.gateways} ".encode() + payload
            bare_once = partial(floor_channel.unary_unary(bare_run.RUN), request)
            found.append(await _case(case, stack.metadata, ours, theirs, applies.once, bare_once))
    return found


async def _case(
    case: Case,
    metadata: Metadata,
    ours: Sequence[Endpoint],
    theirs: Sequence[str],
    our_run: Round,
    bare_once: Round,
) -> Measured:
    measured = Measured(case)
    addresses = [each.address for each in ours]
    async with (
        holding("qmtl", metadata, case.runners, addresses, case.processes) as our_runners,
        holding("bare", metadata, case.runners, theirs, case.processes) as bare_runners,
    ):
        contenders = {OURS: (our_run, our_runners), FLOOR: (bare_once, bare_runners)}
        skew = [read_skew(each.metrics_address) for each in ours]
        for number in range(case.rounds + 1):
            for name, (work, runners) in contenders.items():
                elapsed = await _timed(work, runners)
                if number:
                    measured.times[name].append(elapsed)
            if not number:
                skew = [read_skew(each.metrics_address) for each in ours]
        for before, each in zip(skew, ours, strict=True):
            for bound, count in read_skew(each.metrics_address).items():
                measured.skew[bound] = measured.skew.get(bound, 0.0) + count - before.get(bound, 0.0)
    return measured


async def _timed(work: Round, runners: Held) -> float:
    """Return how long a run took; what its runners still have to hear is waited for, but does not count."""
    began = time.perf_counter()
    await work()
    elapsed = (time.perf_counter() - began) * MS
    await runners.answered(EVENTS_OF_RUN)
    return elapsed


class Applies:
    """Take one apply run after the other, each to another weight."""

    def __init__(self, stub: Any, metadata: Metadata) -> None:
        self._stub = stub
        self._metadata = metadata
        self._weight = 0.5

    async def once(self) -> None:
        """Start a run, and follow it until it is over."""
        self._weight = 0.9 - self._weight
        run_id = uuid.uuid4().hex
        plan = run_pb2.Plan(activations=[run_pb2.PlannedActivation(strategy_id=STRATEGY, weight=self._weight)])
        request = pb.StartApplyRequest(world=WORLD, run_id=run_id, plan=plan, queue=True)
        await self._stub.StartApply(request, metadata=self._metadata)
        state = None
        watch = pb.WatchApplyRequest(world=WORLD, run_id=run_id)
        async for answer in self._stub.WatchApply(watch, timeout=END_SECONDS, metadata=self._metadata):
            state = answer.run
        assert state is not None, run_id
        assert (state.phase, list(state.unopened)) == (run_pb2.RUN_PHASE_COMPLETED, []), state


async def _newest_event(stack: LocalStack) -> bytes:
    connection = await nats.connect(stack.nats_url)
    try:
        found = await connection.jetstream().get_last_msg(CONTROL, event_subject(WORLD))
    finally:
        await connection.close()
    assert found.data is not None
    return bytes(found.data)
