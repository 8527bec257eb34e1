"""What one more of each thing costs (nodes, worlds, applies, leases, sessions), for the arithmetic of sizing.

Counted on a stack of one machine: bytes in PostgreSQL and in the streams, seconds of processors, commits. None of it is
a time that somebody waits for, so a busy machine changes little.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import asyncpg
import grpc
import nats
import psutil

from benchmarks.apply import Applies
from benchmarks.control_plane import POLICY, Client
from benchmarks.crossover import SmaCross
from benchmarks.gateways import another_gateway
from benchmarks.local_stack import LocalStack, qmtl, running_stack
from benchmarks.measure import Amount, Amounts
from benchmarks.runners import WORLD, holding
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, apply_service_pb2, lease_pb2
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import ApplyServiceStub
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2_grpc
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.pb.qmtl.world.v1.world_service_pb2_grpc import WorldServiceStub
from qmtl_foundation.postgres.pool import POOL_MAX_CONNECTIONS
from qmtl_sdk import Runner, Strategy
from qmtl_sdk.local import postgres
from qmtl_sdk.local.process import recall
from qmtl_sdk.local.state import Layout
from qmtl_sdk.strategy.program import build

NODES: Final = 1_000  # of one version
VERSIONS: Final = 20
WORLDS: Final = 2_000  # as many as one renewal names
SESSIONS: Final = 500
RUNS: Final = 50
RENEWALS: Final = 20
SECONDS: Final = 10.0
# What is to be carried.
ALL_NODES: Final = 1_000_000
ALL_WORLDS: Final = 10_000
ALL_GATEWAYS: Final = 100
SESSIONS_OF_A_GATEWAY: Final = 1_000
ALL_RUNS: Final = 1_000_000  # a hundred of each world

BYTES_OF_TABLES: Final = "SELECT sum(pg_total_relation_size(each::regclass)) FROM unnest($1::text[]) each"
BYTES_OF_SCHEMA: Final = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace
"""
COMMITS: Final = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
GRAPH: Final = ("dagmgr.node", "dagmgr.edge", "dagmgr.version_node")


class Wide(Strategy):
    """Have a thousand nodes, none of them those of another ``first``."""

    first: int = 2

    def setup(self) -> None:
        """State the target."""
        close = self.bars()["close"]
        means = [close.rolling_mean(self.first + number) for number in range(NODES // 2)]
        total = means[0]
        for mean in means[1:]:
            total = total + mean
        self.target((close > total / len(means)).long_only())


@dataclass(frozen=True, slots=True)
class Site:
    """Reach a stack and count what it uses."""

    stack: LocalStack
    database: Any
    jetstream: Any

    def busy_s(self, *names: str) -> float:
        """Return the processor seconds that parts of it have used, with their children."""
        return sum(_busy_s(each) for name in names for each in _with_children(self.process(name)))

    def process(self, name: str) -> psutil.Process:
        """Return the process of a part."""
        child = recall(Layout(self.stack.folder).record(name))
        assert child is not None, name
        return psutil.Process(child.pid)

    async def idle(self, *names: str) -> float:
        """Return how many processor seconds parts use in a second with nothing to do."""
        busy = self.busy_s(*names)
        await asyncio.sleep(SECONDS)
        return (self.busy_s(*names) - busy) / SECONDS

    async def bytes_of(self, *tables: str) -> int:
        """Return how large tables are, with their indexes."""
        return int(await self.database.fetchval(BYTES_OF_TABLES, list(tables)))

    async def bytes_of_worlds(self) -> int:
        """Return how large the world service's tables are, with their indexes."""
        return int(await self.database.fetchval(BYTES_OF_SCHEMA, "world"))

    async def bytes_of_streams(self) -> int:
        """Return how large the streams of events and orders are."""
        return sum([(await self.jetstream.stream_info(each)).state.bytes for each in ("control", "orders")])

    async def commits(self) -> int:
        """Return how many transactions the database has committed."""
        return int(await self.database.fetchval(COMMITS))


def run() -> Amounts:
    """Count all of it on one stack."""
    with running_stack() as stack:
        stated = ("--preset", "sample_us_equity_1d", "--share-policy", "world", "--policy", str(POLICY))
        qmtl("world", "create", WORLD, *stated, "--mode", "compute-only")
        result = Runner.submit(SmaCross, world=WORLD)
        assert result.decision is not None
        return asyncio.run(_counted(stack, result.decision.as_of, result.dataset_fingerprint))


async def _counted(stack: LocalStack, as_of: str, fingerprint: str) -> Amounts:
    database, broker = await asyncpg.connect(stack.postgres_dsn), await nats.connect(stack.nats_url)
    try:
        async with grpc.aio.insecure_channel(stack.address("gateway")) as channel:
            site = Site(stack, database, broker.jetstream())
            submissions = submission_service_pb2_grpc.SubmissionServiceStub(channel)
            client = partial(Client, submissions, stack.metadata, as_of=as_of, fingerprint=fingerprint)
            applies = ApplyServiceStub(channel)
            return Amounts(
                (
                    *await _nodes(site, client),
                    *await _worlds(site, WorldServiceStub(channel), applies),
                    *await _leases(site),
                    *await _runs(site, Applies(applies, stack.metadata)),
                    *await _sessions(site),
                    Amount("connections of a gateway to PostgreSQL", POOL_MAX_CONNECTIONS + 1, "", ALL_GATEWAYS),
                )
            )
    finally:
        await broker.close()
        await database.close()


async def _nodes(site: Site, client: Callable[..., Client]) -> list[Amount]:
    counting = "SELECT count(*) FROM dagmgr.node"
    before, busy, had = await site.bytes_of(*GRAPH), site.busy_s("dagmgr"), await site.database.fetchval(counting)
    for number in range(VERSIONS):
        one = client(dag=build(Wide(first=2 + number * NODES)).dag_document())
        answer = await one.submit(one.request(f"wide_{number}"))
        await one.await_end(answer.submission.submission_id)
    count = await site.database.fetchval(counting) - had
    grown, used = await site.bytes_of(*GRAPH) - before, site.busy_s("dagmgr") - busy
    on = f"{count:,} nodes of {VERSIONS} versions"
    return [
        Amount("a node with its inputs and its place in a version, in PostgreSQL", grown / count, "B", ALL_NODES, on),
        Amount("merging a new node, processor of the DAG manager", used / count, "s", ALL_NODES, on),
    ]


async def _worlds(site: Site, worlds: Any, applies: Any) -> list[Amount]:
    """Make worlds, each frozen once: so it has a place, an event and a mark."""
    before, metadata = await site.bytes_of_worlds(), site.stack.metadata
    answer = await worlds.GetWorld(world_service_pb2.GetWorldRequest(world=WORLD), metadata=metadata)
    for number in range(WORLDS):
        answer.world.name = f"w{number}"
        made = world_service_pb2.CreateWorldRequest(request_id=uuid.uuid4().hex, world=answer.world)
        await worlds.CreateWorld(made, metadata=metadata)
        await applies.FreezeWorld(
            apply_service_pb2.FreezeWorldRequest(world=f"w{number}", hold="sizing"), metadata=metadata
        )
    grown = await site.bytes_of_worlds() - before
    return [Amount("a world at rest, in PostgreSQL", grown / WORLDS, "B", ALL_WORLDS, f"{WORLDS:,} worlds")]


async def _leases(site: Site) -> list[Amount]:
    """Renew the lease of a gateway that names as many worlds as one renewal may."""
    token = site.stack.issuer.service_token("gateway").read_text().strip()
    metadata = (("authorization", f"Bearer {token}"),)
    request = apply_service_pb2.RenewLeaseRequest(
        kind=acknowledgement_pb2.PARTICIPANT_KIND_GATEWAY,
        participant="sizing",
        incarnation=uuid.uuid4().hex,
        worlds=[lease_pb2.HeldPlace(world=f"w{number}") for number in range(WORLDS)],
    )
    parts = ("world", postgres.NAME)
    idle = await site.idle(*parts)
    async with grpc.aio.insecure_channel(site.stack.address("world")) as channel:
        applies = ApplyServiceStub(channel)
        answer = await applies.RenewLease(request, metadata=metadata)
        busy, began = site.busy_s(*parts), time.monotonic()
        for _ in range(RENEWALS):
            await applies.RenewLease(request, metadata=metadata)
        used = site.busy_s(*parts) - busy - idle * (time.monotonic() - began)
    assert len(answer.worlds) == WORLDS, len(answer.worlds)
    what = f"the lease of a gateway that knows {WORLDS:,} worlds"
    size, on = request.ByteSize() + answer.ByteSize(), f"{RENEWALS} renewals"
    return [
        Amount(f"{what}, processors of world service and PostgreSQL", used / RENEWALS, "s/s", ALL_GATEWAYS, on),
        Amount(f"{what}, on the network", size, "B/s", ALL_GATEWAYS, on),
    ]


async def _runs(site: Site, applies: Applies) -> list[Amount]:
    await applies.once()
    rows, told = await site.bytes_of_worlds(), await site.bytes_of_streams()
    alone = await _commits(site, applies.once)
    grown, sent = await site.bytes_of_worlds() - rows, await site.bytes_of_streams() - told
    async with another_gateway(site.stack, "gateway-2"), another_gateway(site.stack, "gateway-3"):
        three = await _commits(site, applies.once)
    on = f"{RUNS} runs"
    return [
        Amount("an apply run, in PostgreSQL", grown / RUNS, "B", ALL_RUNS, on),
        Amount("an apply run, in the streams", sent / RUNS, "B", ALL_RUNS, on),
        Amount("an apply run with one gateway", alone, "transactions", 1, on),
        Amount("an apply run, for each gateway more", (three - alone) / 2, "transactions", ALL_GATEWAYS - 1, on),
    ]


async def _commits(site: Site, once: Callable[[], Awaitable[None]]) -> float:
    """Return how many commits one run makes, beyond those of as long a time without one."""
    before, began = await site.commits(), time.monotonic()
    for _ in range(RUNS):
        await once()
    took = time.monotonic() - began
    await asyncio.sleep(SECONDS)  # until every process has told what it committed
    between = await site.commits()
    await asyncio.sleep(SECONDS)
    idle = (await site.commits() - between) / SECONDS
    return max(0.0, between - before - idle * (took + SECONDS)) / RUNS


async def _sessions(site: Site) -> list[Amount]:
    gateway, idle = site.process("gateway"), await site.idle("gateway")
    resident = gateway.memory_info().rss
    async with holding("qmtl", site.stack.metadata, SESSIONS, [site.stack.address("gateway")]):
        used = await site.idle("gateway") - idle
        grown = gateway.memory_info().rss - resident
    on = f"{SESSIONS} sessions"
    return [
        Amount("a runner's session, memory of its gateway", grown / SESSIONS, "B", SESSIONS_OF_A_GATEWAY, on),
        Amount("a runner's session, processor of its gateway", used / SESSIONS, "s/s", SESSIONS_OF_A_GATEWAY, on),
    ]


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _busy_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
