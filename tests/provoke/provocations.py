"""What provokes each alert, a generator of three steps: prepare, strike, mend.

The first ``yield`` comes before anything is wrong, the second one says what was seen to strike, and with which labels
the alert must fire; what follows it mends. Nothing is reported that did not happen: each metric moves because a real
process met the real thing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc

from helm.dashboards.alerts import alerts
from qmtl_foundation.errors import Reason
from qmtl_foundation.identity import canonical_json
from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2, order_service_pb2_grpc
from qmtl_foundation.pb.qmtl.order.v1.intent_pb2 import OrderIntent
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2
from qmtl_foundation.settings import Address
from qmtl_sdk.cli.loading import load_strategy
from qmtl_sdk.client.presets import register_builtin_presets
from qmtl_sdk.local import nats
from qmtl_sdk.runner import Runner
from qmtl_sdk.settings import cache_dir
from qmtl_world.apply.place import ASTRAY
from tests.provoke.scene import Scene, Seen, repeating
from tests.support.applies import over, ready_world, roll_back, start, stop, told, trading_world
from tests.support.beside import another
from tests.support.credentials import ground_of
from tests.support.desk import (
    AS_OF,
    FINGERPRINT,
    POLICY,
    STRICT_POLICY,
    Asked,
    dag_document,
    dial,
    ended,
    make_world,
    refusal,
    submit,
    version_of,
)
from tests.support.intents import order_intent
from tests.support.link import link_to
from tests.support.restoring import keep_database, restore_database
from tests.support.stack import ROOT
from tests.support.striking import kill, part, stopped
from tests.support.waiting import becomes, wait_until

PREPARED: Final = Seen("prepared")
SAMPLE: Final = "sample_us_equity_1d"
LONG_RUNS: Final = "{freeze_timeout_ms: 300000}"
HELD_INTENTS: Final = 50
SECONDS: Final = 30.0
LOCK: Final = "LOCK TABLE dagmgr.node IN EXCLUSIVE MODE"
WAITED_FOR: Final = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'dagmgr.node'::regclass"

Steps = Iterator[Seen]


@dataclass(frozen=True, slots=True)
class Provocation:
    """Hold what provokes an alert, or several, and how to say it in a table."""

    alerts: tuple[str, ...]
    how: str
    begin: Callable[[Scene], Steps]


# ---- Runners that are not ours


def wrong_node_id(scene: Scene) -> Steps:
    """Submit a strategy whose document names a node by another id than its content has."""
    world = make_world(scene.desk)
    document = json.loads(dag_document())
    document["nodes"][0]["node_id"] = FINGERPRINT
    request = Asked(world).request()
    request.dag = canonical_json(document)
    yield PREPARED
    found = refusal(lambda: scene.desk.submissions.Submit(request))
    assert found.reason == Reason.NODE_ID_MISMATCH, found
    yield Seen(f"the gateway refuses it: `{found.reason}`", {"instance": part(scene.stack, "gateway").metrics_address})


def copied_cache(scene: Scene) -> Steps:
    """Submit to one world with cached results of another one in the place of its own."""
    register_builtin_presets(Address.parse(scene.stack.gateway_address), lambda: scene.token)
    # Nothing passes: what is not active computes in the same context the next time.
    here, there = (make_world(scene.desk, STRICT_POLICY, SAMPLE) for _ in range(2))
    _submit(scene, there)
    foreign = {path.parent.name: path for path in _results()}
    _submit(scene, here)
    own = [path for path in _results() if path not in foreign.values()]
    assert own, "the strategy has no results that are kept"
    for path in own:
        shutil.copyfile(foreign[path.parent.name], path)
    yield PREPARED
    _submit(scene, here)
    yield Seen("the runner computes anew, and says so")


def _submit(scene: Scene, world: str) -> None:
    strategy = load_strategy(f"{ROOT / 'examples' / 'breakout.py'}:Breakout")  # it has a node whose results are kept
    Runner.submit(strategy, world=world, author="ann", gateway=scene.stack.gateway_address)


def _results() -> list[Path]:
    return [path for path in (cache_dir() / "results").rglob("*") if path.is_file()]


# ---- Worlds and runs


def world_frozen(scene: Scene) -> Steps:
    """Freeze a world."""
    world = make_world(scene.desk)
    yield PREPARED
    answer = stop(scene.desk, world, "drill")
    yield Seen(f"held at epoch {answer.epoch}", {"world": world, "reason": "drill"})


def executor_paused(scene: Scene) -> Steps:
    """Pause the executor, and begin a run that may wait for it for long."""
    world = ready_world(scene.desk, LONG_RUNS)
    yield PREPARED
    with stopped(scene.stack, "executor"):
        start(scene.desk, world, {"ann/A": 1.0})
        yield Seen("the run waits in FREEZING", {"world": world})
    over(scene.desk, world)


def run_rolled_back(scene: Scene) -> Steps:
    """Begin a run, and ask for its rollback while it waits for a paused executor."""
    world = ready_world(scene.desk, LONG_RUNS)
    yield PREPARED
    with stopped(scene.stack, "executor"):
        start(scene.desk, world, {"ann/A": 1.0})
        roll_back(scene.desk, world)
    run = over(scene.desk, world)
    assert run.phase == run_pb2.RUN_PHASE_ROLLED_BACK, run
    yield Seen("the run ends ROLLED_BACK")


def database_restored(scene: Scene) -> Steps:
    """Restore the database to before a run that the streams have seen."""
    world, backup = trading_world(scene.desk), scene.folder / "backup"
    keep_database(scene.layout, backup)
    scene.heal()
    start(scene.desk, world, {"ann/A": 1.0})
    over(scene.desk, world)
    yield PREPARED
    restore_database(scene.layout, backup)
    scene.heal()
    wait_until(lambda: ASTRAY in told(scene.desk, world).holds, SECONDS)
    yield Seen("streams, gateway and executor know more than the database", {"world": world})


# ---- What services stand on


def nats_paused(scene: Scene) -> Steps:
    """Pause the nats-server, and freeze a world."""
    world = make_world(scene.desk)
    yield PREPARED
    with stopped(scene.stack, nats.NAME):
        answer = stop(scene.desk, world, "drill")
        yield Seen(f"Fence and FREEZE of epoch {answer.epoch} are committed, and not announced")


def graph_locked(scene: Scene) -> Steps:
    """Hold a lock on the table of nodes in PostgreSQL, again and again, while strategies are submitted."""
    world = make_world(scene.desk)
    periods = iter(range(100, 1_000))
    limit_ms = alerts()["QmtlDiffSlow"].limit
    assert limit_ms is not None
    locked_s = 1.4 * limit_ms / 1e3

    def locked_merge() -> None:
        asyncio.run(_merge_behind_a_lock(scene, Asked(world, period=next(periods)), locked_s))

    yield PREPARED
    with repeating(locked_merge):
        yield Seen(f"each merge waits {locked_s:g} s and more")


async def _merge_behind_a_lock(scene: Scene, asked: Asked, locked_s: float) -> None:
    connection = await asyncpg.connect(part(scene.stack, "postgres").address)
    try:
        async with asyncio.timeout(SECONDS):
            async with connection.transaction():
                await connection.execute(LOCK)
                submission = scene.desk.submissions.Submit(asked.request()).submission.submission_id
                await becomes(partial(connection.fetchval, WAITED_FOR), wanted=True)
                await asyncio.sleep(locked_s)
            await asyncio.to_thread(ended, scene.desk, submission)
    finally:
        await connection.close()


# ---- Services that are away


def dag_manager_killed(scene: Scene) -> Steps:
    """Kill the DAG manager."""
    yield PREPARED
    struck = part(scene.stack, "dagmgr")
    kill(scene.stack, "dagmgr")
    yield Seen("dead", {"job": "qmtl-dagmgr", "instance": struck.metrics_address})
    scene.heal()


def killed(name: str) -> Callable[[Scene], Steps]:
    """Return what kills the only process of a service."""

    def begin(scene: Scene) -> Steps:
        yield PREPARED
        kill(scene.stack, name)
        yield Seen("none is left")
        scene.heal()

    return begin


def world_service_killed(scene: Scene) -> Steps:
    """Kill the only world service, while strategies ask under which context they compute."""
    world = make_world(scene.desk, f"{POLICY}apply: manual\n", decision_ttl_s=1)
    submit(scene.desk, Asked(world, "A"))
    yield PREPARED
    kill(scene.stack, "world")
    wait_until(lambda: _resolved(scene, world, AS_OF) == [execution_pb2.DOWNGRADE_REASON_DECISION_STALE], SECONDS)
    with repeating(lambda: _resolved(scene, world, AS_OF)):
        yield Seen("the last decision is over; contexts are compute-only")
    scene.heal()


def world_service_away(scene: Scene) -> Steps:
    """Pause the world service for longer than a gateway's lease, then let it go on."""
    world = trading_world(scene.desk)
    orders = order_service_pb2_grpc.OrderServiceStub(scene.desk.channel)
    request = order_service_pb2.PublishIntentsRequest(intents=[order_intent(world=world, epoch=1)])
    wait_until(lambda: refusal(lambda: orders.PublishIntents(request)).reason == Reason.EPOCH_MISMATCH, SECONDS)
    yield PREPARED
    with stopped(scene.stack, "world"):
        wait_until(lambda: refusal(lambda: orders.PublishIntents(request)).reason == Reason.GATE_CLOSED, SECONDS)
    yield Seen("its gates close with the lease, and are read anew")


def contexts_downgraded(scene: Scene) -> Steps:
    """Ask for contexts without a snapshot, four times a second."""
    world = trading_world(scene.desk)
    yield PREPARED
    assert _resolved(scene, world, "") == [execution_pb2.DOWNGRADE_REASON_MISSING_AS_OF]
    with repeating(lambda: _resolved(scene, world, "")):
        yield Seen("contexts are compute-only", {"reason": "missing_as_of"})


def _resolved(scene: Scene, world: str, as_of: str) -> list[int]:
    """Return why a strategy's context is less than what was asked for."""
    request = submission_service_pb2.ResolveContextRequest(
        world=world,
        strategy_id="ann/A",
        strategy_version=version_of(),
        as_of=as_of,
        dataset_fingerprint=FINGERPRINT,
    )
    return list(scene.desk.submissions.ResolveContext(request).context.downgrade_reasons)


# ---- Orders that come late


def late_orders(scene: Scene) -> Steps:
    """Stall a gateway's link to NATS with orders on it, kill it, apply a run, and let them arrive when all is quiet."""
    with ExitStack() as held:
        nats_address = part(scene.stack, nats.NAME).address
        link = held.enter_context(link_to(nats_address))
        passwords = ground_of(scene.folder, part(scene.stack, "postgres").address, nats_address).nats_passwords
        url = nats.url(link.address, "gateway", passwords)
        gateway = held.enter_context(another(scene.stack, "gateway", QMTL_NAME="late", QMTL_NATS_URL=url))
        world, busy = trading_world(scene.desk), trading_world(scene.desk)
        client = held.enter_context(dial(gateway.address, scene.token))
        intents = _intents(scene, world)
        link.hold()
        with ThreadPoolExecutor(1) as thread:
            orders = order_service_pb2_grpc.OrderServiceStub(client.channel)
            thread.submit(_never_answered, orders, intents)
            wait_until(lambda: link.waiting > sum(each.ByteSize() for each in intents), SECONDS)
            os.kill(gateway.pid, signal.SIGKILL)
        start(scene.desk, world, {"ann/A": 0.5}, run_id="goes_on")
        run = over(scene.desk, world, "goes_on")
        assert run.phase == run_pb2.RUN_PHASE_COMPLETED, run
        yield PREPARED
        start(scene.desk, busy, {"ann/A": 0.5}, run_id="elsewhere")
        over(scene.desk, busy, "elsewhere")
        link.release()
        yield Seen(f"{len(intents)} orders of the epoch before arrive", {"world": world})


def _intents(scene: Scene, world: str) -> list[OrderIntent]:
    """Return orders as the newest set lets them pass."""
    said = told(scene.desk, world).activation_set
    one = next(each for each in said.activations if each.strategy_id == "ann/A")
    stamps: dict[str, Any] = {
        "world": world,
        "strategy_id": one.strategy_id,
        "strategy_version": one.strategy_version,
        "side": one.side,
        "mode": one.mode,
        "executor": one.executor,
        "epoch": said.epoch,
    }
    return [order_intent(f"S{number}", **stamps) for number in range(HELD_INTENTS)]


def _never_answered(orders: order_service_pb2_grpc.OrderServiceStub, intents: list[OrderIntent]) -> None:
    with suppress(grpc.RpcError):
        orders.PublishIntents(order_service_pb2.PublishIntentsRequest(intents=intents))


# Each is begun when the one before it is mended; those of one line strike together.
FIRST: Final = (
    (
        Provocation(("QmtlNodeIdMismatch",), "a submission names a node by a wrong id", wrong_node_id),
        Provocation(
            ("QmtlCrossContextHit",), "a runner's cache has another world's results where its own were", copied_cache
        ),
        Provocation(("QmtlWorldHeld",), "an operator freezes a world", world_frozen),
    ),
    (
        Provocation(("QmtlDowngrades",), "contexts are asked for without a snapshot, 4 a second", contexts_downgraded),
        Provocation(("QmtlDiffSlow",), "another transaction locks the graph's nodes, again and again", graph_locked),
        Provocation(
            ("QmtlAckOutstanding", "QmtlApplyStuck"),
            "SIGSTOP of the executor, and a run whose freeze may last 5 minutes",
            executor_paused,
        ),
    ),
    (Provocation(("QmtlLeaseLost",), "SIGSTOP of the world service until gates close, SIGCONT", world_service_away),),
    (Provocation(("QmtlApplyRolledBack",), "a run that waits for the executor is rolled back", run_rolled_back),),
)
LATE: Final = Provocation(
    ("QmtlOrdersFenced",),
    "orders of a gateway that was killed stay on its link to NATS, and arrive long after the next run, right after "
    "another world's",
    late_orders,
)
MEANWHILE: Final = (
    (Provocation(("QmtlOutboxLag",), "SIGSTOP of the nats-server, and a world is frozen", nats_paused),),
    (Provocation(("QmtlServiceDown",), "SIGKILL of the DAG manager", dag_manager_killed),),
    (
        Provocation(("QmtlNoGateway",), "SIGKILL of the gateway", killed("gateway")),
        Provocation(("QmtlNoDagManager",), "SIGKILL of the DAG manager", killed("dagmgr")),
        Provocation(("QmtlNoExecutor",), "SIGKILL of the executor", killed("executor")),
    ),
    (
        Provocation(
            ("QmtlNoWorldService", "QmtlStaleDecisions"),
            "SIGKILL of the world service, and contexts are asked for",
            world_service_killed,
        ),
    ),
)
LAST: Final = Provocation(("QmtlStreamsAstray",), "PostgreSQL's files are put back to before a run", database_restored)
ALL: Final = (*(each for stage in (*FIRST, *MEANWHILE) for each in stage), LATE, LAST)
