"""The faults that the protocol must bear, each a generator of three steps: prepare, strike, mend.

The first ``yield`` comes before runs begin, the second one states what was seen to strike; what follows it mends.
Those that are ``brief`` are mended while the runs are under way, after so many seconds; the others when the runs are
over. What is not mended here, ``Cluster.heal`` and ``Runners.heal`` mend.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import Final

import grpc

from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from tests.faults.cluster.broker import Broker
from tests.faults.cluster.cluster import EXECUTOR, GATEWAYS, SUCCESSOR, WORLDS, Cluster
from tests.faults.cluster.database import Database
from tests.faults.cluster.runners import Runners
from tests.faults.conductor import Applies
from tests.faults.history.recorder import note_outage
from tests.support.desk import read_refusal
from tests.support.link import Link
from tests.support.waiting import wait_until

IN_HAND_SECONDS: Final = 10.0
PILE_SECONDS: Final = 0.5  # for which intents pile up on a stalled link before a run begins
LEASE_SECONDS: Final = 5.5  # of a gateway, and a little more
TOLD_SECONDS: Final = 10.0
STALLED_SECONDS: Final = 3.0  # each service says something each second
SUPERSEDED_SECONDS: Final = 15.0
SLOW_SECONDS: Final = 0.02  # that each chunk of bytes waits on a slow link
CUTS: Final = 6
CUT_SECONDS: Final = 0.25
PREPARED: Final = "prepared"


@dataclass(slots=True)
class Scene:
    """Hold what a fault may strike. ``chance`` is seeded; ``lost_…`` takes the numbers of what was lost, by world.

    ``requests`` are those that began the runs under way, by world.
    """

    cluster: Cluster
    runners: Runners
    broker: Broker
    database: Database
    applies: Applies
    worlds: Sequence[str]
    chance: random.Random
    requests: dict[str, pb.StartApplyRequest] = field(default_factory=dict)
    lost_marks: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    lost_events: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @contextmanager
    def outage(self, what: str) -> Iterator[None]:
        """Note for how long something is away without which no run goes on."""
        began = datetime.now(UTC)
        yield
        asyncio.run(note_outage(self.cluster.dsn, began, datetime.now(UTC), what))


Steps = Iterator[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """Hold one fault: its name in tables, what it does, and after how many seconds it is mended, None for at the end.

    ``freezing_only``: it can strike only before the switch. ``moves``: it may strike runs that nothing keeps in a
    phase. ``outcomes``: how its runs must end, None where a run may go either way.
    """

    name: str
    begin: Callable[[Scene], Steps]
    brief: float | None = None
    freezing_only: bool = False
    moves: bool = True
    outcomes: frozenset[str] | None = None


# ---- World services


def world_service_killed(scene: Scene) -> Steps:
    """Kill one of two world services; the other goes on."""
    yield PREPARED
    struck = scene.cluster.processes[scene.chance.choice(WORLDS)]
    struck.kill()
    yield f"{struck.name} dead"


def world_services_killed(scene: Scene) -> Steps:
    """Kill both world services, and start them again."""
    yield PREPARED
    with scene.outage("world services"):
        for name in WORLDS:
            scene.cluster.processes[name].kill()
        yield "both dead"
        for name in WORLDS:
            scene.cluster.processes[name].launch()
        scene.cluster.processes[WORLDS[0]].await_ready()


def world_service_paused(scene: Scene) -> Steps:
    """Pause one of two world services, perhaps within a transaction; the other goes on."""
    yield PREPARED
    struck = scene.cluster.processes[scene.chance.choice(WORLDS)]
    struck.pause()
    yield f"{struck.name} paused"
    struck.go_on()


def world_service_cut_off(scene: Scene) -> Steps:
    """Stall the link of one world service to PostgreSQL, perhaps within a transaction."""
    yield PREPARED
    link = scene.cluster.links[f"{scene.chance.choice(WORLDS)}/postgres"]
    yield _stalled(link, "its link to PostgreSQL")
    link.release()


# ---- Gateways


def gateway_killed(scene: Scene) -> Steps:
    """Kill a gateway."""
    yield PREPARED
    struck = scene.cluster.processes[scene.chance.choice(GATEWAYS)]
    struck.kill()
    yield f"{struck.name} dead"


def gateway_paused(scene: Scene) -> Steps:
    """Pause a gateway beyond its lease, and let it go on when the runs are over."""
    yield PREPARED
    struck = scene.cluster.processes[scene.chance.choice(GATEWAYS)]
    struck.pause()
    time.sleep(LEASE_SECONDS)
    yield f"{struck.name} paused"
    struck.go_on()


def gateway_killed_with_orders(scene: Scene) -> Steps:
    """Kill a gateway whose intents are on their way; they arrive when the runs are over."""
    struck, held = _with_orders_in_hand(scene)
    scene.cluster.processes[struck].kill()
    yield PREPARED
    yield f"{struck} dead, {held.waiting} bytes on their way"
    held.release()


def gateway_paused_with_orders(scene: Scene) -> Steps:
    """Pause a gateway with intents in hand, before the runs begin, until they are over."""
    struck, held = _with_orders_in_hand(scene)
    scene.cluster.processes[struck].pause()
    yield PREPARED
    yield f"{struck} paused, {held.waiting} bytes in hand"
    scene.cluster.processes[struck].go_on()
    held.release()


def gateway_cut_off(scene: Scene) -> Steps:
    """Stall the link of a gateway to NATS, with intents on it; it still reaches the world service."""
    struck, held = _with_orders_in_hand(scene)
    yield PREPARED
    yield f"link of {struck} to NATS stalled, {held.waiting} bytes on it"
    held.release()


def gateway_out_of_reach(scene: Scene) -> Steps:
    """Stall the link of a gateway to the world services: it can neither renew nor acknowledge."""
    yield PREPARED
    struck = scene.chance.choice(GATEWAYS)
    link = scene.cluster.links[f"{struck}/world"]
    yield _stalled(link, f"link of {struck} to the world services")
    link.release()


def _stalled(link: Link, name: str) -> str:
    """Stall a link, see that something is held on it, and return what to say of it."""
    link.hold()
    wait_until(lambda: link.stalled > 0, STALLED_SECONDS)
    return f"{name} stalled"


def _with_orders_in_hand(scene: Scene) -> tuple[str, Link]:
    """Stall a gateway's link to NATS until intents pile up on it; return the gateway and the link."""
    struck = scene.chance.choice(GATEWAYS)
    held = scene.cluster.links[f"{struck}/nats"]
    held.hold()
    wait_until(lambda: held.waiting > 0, IN_HAND_SECONDS)
    time.sleep(PILE_SECONDS)
    return struck, held


# ---- Runners


def runners_killed(scene: Scene) -> Steps:
    """Kill a third of the runners."""
    yield PREPARED
    struck = scene.chance.sample(scene.runners.running, len(scene.runners.running) // 3)
    for runner in struck:
        runner.kill()
    yield f"{len(struck)} runners dead"


def runners_paused(scene: Scene) -> Steps:
    """Pause a third of the runners while they trade, before the runs begin; let them go on when those are over."""
    struck = scene.chance.sample(scene.runners.running, len(scene.runners.running) // 3)
    for runner in struck:
        runner.pause()
    yield PREPARED
    yield f"{len(struck)} runners paused"
    for runner in struck:
        runner.go_on()


# ---- Executors


def executor_killed(scene: Scene) -> Steps:
    """Kill the executor while it trades, and start it again."""
    executor = scene.cluster.processes[EXECUTOR]
    yield PREPARED
    executor.kill()
    yield "executor dead"
    executor.launch()


def executor_paused(scene: Scene) -> Steps:
    """Pause the executor until the runs are over: they cannot go forward without it."""
    executor = scene.cluster.processes[EXECUTOR]
    yield PREPARED
    executor.pause()
    yield "executor paused"
    executor.go_on()


def executor_succeeded(scene: Scene) -> Steps:
    """Pause the executor with orders under way, start a second instance, and let the first one go on."""
    executor, successor = scene.cluster.processes[EXECUTOR], scene.cluster.processes[SUCCESSOR]
    yield PREPARED
    executor.pause()
    successor.launch()
    successor.await_ready()
    yield "executor paused, a second instance there"
    executor.go_on()
    wait_until(lambda: not executor.alive, SUPERSEDED_SECONDS)
    executor.launch()
    wait_until(lambda: not successor.alive, SUPERSEDED_SECONDS)


def executor_cut_off(scene: Scene) -> Steps:
    """Stall the link of the executor to NATS."""
    yield PREPARED
    link = scene.cluster.links[f"{EXECUTOR}/nats"]
    yield _stalled(link, "link of the executor to NATS")
    link.release()


# ---- Broker, database, network


def nats_killed(scene: Scene) -> Steps:
    """Kill the broker, and start it again."""
    yield PREPARED
    with scene.outage("NATS"):
        scene.cluster.kill_server("nats")
        yield "nats-server dead"
        scene.cluster.heal_servers()


def postgres_killed(scene: Scene) -> Steps:
    """Kill the database, and start it again."""
    yield PREPARED
    with scene.outage("PostgreSQL"):
        scene.cluster.kill_server("postgres")
        yield "PostgreSQL dead"
        scene.cluster.heal_servers()


def connections_cut(scene: Scene) -> Steps:
    """Cut TCP connections of all services, again and again."""
    yield PREPARED
    links = list(scene.cluster.links.values())
    cut = 0
    for _ in range(CUTS):
        for link in scene.chance.sample(links, len(links) // 3):
            cut += link.cut()
        time.sleep(CUT_SECONDS)
    assert cut, "no connection was there to be cut"
    yield f"{cut} connections cut"


def network_slow(scene: Scene) -> Steps:
    """Delay all bytes on half of the links."""
    links = scene.chance.sample(list(scene.cluster.links.values()), len(scene.cluster.links) // 2)
    for link in links:
        link.delayed = 0
        link.delay = SLOW_SECONDS * scene.chance.uniform(0.2, 2.0)
    yield PREPARED
    delayed = sum(link.delayed for link in links)
    assert delayed, "nothing was slowed"
    yield f"{len(links)} links slow, {delayed:,} chunks delayed"
    for link in links:
        link.delay = 0.0


def mark_lost(scene: Scene) -> Steps:
    """Stop all worlds, and lose the Fences, which the broker had acknowledged, before the executor has read them."""
    yield PREPARED
    broker = scene.broker
    link = scene.cluster.links[f"{EXECUTOR}/nats"]
    _lose(scene, link, broker.newest_mark, broker.lose_newest_mark, scene.lost_marks)
    yield f"{len(scene.worlds)} Fences of emergency stops lost"
    link.release()


def event_lost(scene: Scene) -> Steps:
    """Stop all worlds, and lose what they told of it, before one of the gateways has read it."""
    yield PREPARED
    broker = scene.broker
    link = scene.cluster.links[f"{scene.chance.choice(GATEWAYS)}/nats"]
    _lose(scene, link, broker.newest_event, broker.lose_newest_event, scene.lost_events)
    yield f"{len(scene.worlds)} events of emergency stops lost"
    link.release()


def _lose(
    scene: Scene, link: Link, newest: Callable[[str], int], lose: Callable[[str], int], lost: dict[str, set[int]]
) -> None:
    """Stall a link, stop all worlds, and take what each told of it out of its stream, once that is there."""
    link.hold()
    before = {world: newest(world) for world in scene.worlds}
    _stop_all(scene)
    for world, number in before.items():
        wait_until(partial(_is_told, newest, world, number), TOLD_SECONDS)
        lost[world].add(lose(world))


def told_twice(scene: Scene) -> Steps:
    """Store the newest mark and event of each world a second time."""
    yield PREPARED
    for world in scene.worlds:
        scene.broker.repeat_newest(world)
    yield f"{2 * len(scene.worlds)} messages stored twice"


def freeze_never_converges(scene: Scene) -> Steps:
    """Pause the executor before the runs begin, for longer than a freeze may last."""
    executor = scene.cluster.processes[EXECUTOR]
    executor.pause()
    yield PREPARED
    yield "executor paused before the freeze"
    executor.go_on()


# ---- Operators


def emergency_stop(scene: Scene) -> Steps:
    """Stop all worlds."""
    yield PREPARED
    _stop_all(scene)
    yield f"{len(scene.worlds)} worlds stopped"


def _stop_all(scene: Scene) -> None:
    for world in scene.worlds:
        request = pb.FreezeWorldRequest(world=world, reason="fault suite", hold="emergency")
        scene.applies.call("FreezeWorld", request)


def asked_twice(scene: Scene) -> Steps:
    """Ask for each run once more, and for another one beside it."""
    yield PREPARED
    for world, request in scene.requests.items():
        same = scene.applies.call("StartApply", request).run
        assert (same.run_id, same.epoch) == (request.run_id, scene.applies.run(world, request.run_id).epoch)
        other = pb.StartApplyRequest(world=world, run_id=f"{request.run_id}-other", plan=request.plan)
        assert _refused(partial(scene.applies.call, "StartApply", other)) == "RUN_IN_PROGRESS"
    yield f"{len(scene.requests)} runs asked for twice, as many others refused"


def rollback_races(scene: Scene) -> Steps:
    """Ask for rollbacks at the moment at which the last acknowledgements come."""
    yield PREPARED
    answers: list[str] = []
    threads = [
        Thread(target=_roll_back_soon, args=(scene, request, scene.chance.uniform(0.0, 0.2), answers))
        for request in scene.requests.values()
    ]
    for thread in threads:
        thread.start()
    yield f"{len(threads)} rollbacks asked for"
    for thread in threads:
        thread.join()
    assert len(answers) == len(threads), answers


def _roll_back_soon(scene: Scene, run: pb.StartApplyRequest, seconds: float, answers: list[str]) -> None:
    time.sleep(seconds)
    request = pb.RollbackApplyRequest(world=run.world, run_id=run.run_id, reason="race")
    answers.append(_refused(lambda: scene.applies.call("RollbackApply", request)))


def _is_told(newest: Callable[[str], int], world: str, number: int) -> bool:
    return newest(world) > number


def _refused(call: Callable[[], object]) -> str:
    """Return the reason of a refusal, empty for none."""
    try:
        call()
    except grpc.RpcError as error:
        return read_refusal(error).reason
    return ""


def switch_raises(scene: Scene) -> Steps:
    """Let the database refuse any change of what trades."""
    scene.database.refuse_switches()
    yield PREPARED
    yield "switches refused"
    scene.database.allow_switches()


FAULTS: Final = (
    Fault("world service killed, replica there", world_service_killed),
    Fault("both world services killed", world_services_killed, brief=1.0),
    Fault("world service paused, replica there", world_service_paused),
    Fault("world service cut off from PostgreSQL", world_service_cut_off),
    Fault("gateway killed", gateway_killed),
    Fault("gateway paused beyond its lease", gateway_paused),
    Fault("gateway killed with orders on their way", gateway_killed_with_orders),
    Fault("gateway paused with orders in hand", gateway_paused_with_orders),
    Fault("gateway cut off from NATS with orders on their way", gateway_cut_off),
    Fault("gateway cut off from the world services", gateway_out_of_reach),
    Fault("a third of the runners killed", runners_killed),
    Fault("a third of the runners paused", runners_paused),
    Fault("executor killed", executor_killed, brief=1.0),
    Fault("executor paused", executor_paused),
    Fault("executor paused, a second instance started", executor_succeeded, brief=2.0),
    Fault("executor cut off from NATS", executor_cut_off, brief=3.0),
    Fault("NATS killed", nats_killed, brief=1.0),
    Fault("PostgreSQL killed", postgres_killed, brief=1.0),
    Fault("connections cut", connections_cut),
    Fault("slow network", network_slow),
    Fault("mark lost", mark_lost, brief=0.5),
    Fault("event lost", event_lost, brief=0.5),
    Fault("mark and event stored twice", told_twice),
    Fault("switch raises", switch_raises, freezing_only=True, moves=False, outcomes=frozenset({"rolled back, held"})),
    Fault(
        "freeze cannot converge",
        freeze_never_converges,
        freezing_only=True,
        moves=False,
        outcomes=frozenset({"rolled back"}),
    ),
    Fault("emergency stop", emergency_stop, outcomes=frozenset({"rolled back, held", "completed, held"})),
    Fault("asked twice, and two at once", asked_twice, moves=False),
    Fault("rollback races the last acknowledgement", rollback_races),
)
