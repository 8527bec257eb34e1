"""A campaign: worlds in which runners trade, and one fault after the other that strikes while apply runs are under way.

An episode is one fault. It strikes at one moment, while each world is in another phase of a run of its own; so one
episode is as many runs as there are worlds.

1. FLOW: intents flow, as many in a second as a run must see to count.
2. LEAD: a run begins in each world and is led to its phase, where the conductor keeps it.
3. STRIKE: the fault; the conductor lets go.
4. END: every run ends by itself. What was struck is mended before or after, as the fault says.
5. REST: holds are ended as an operator would, everything is open and trades again.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2 as ack_pb
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import run_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2, world_service_pb2
from qmtl_foundation.settings import Address
from qmtl_sdk.client.presets import register_builtin_presets
from tests.faults.checker import Violation, check
from tests.faults.cluster.broker import open_broker
from tests.faults.cluster.cluster import SUCCESSOR, Cluster, running_cluster
from tests.faults.cluster.database import Database
from tests.faults.cluster.runners import running_host
from tests.faults.conductor import Applies, Conductor, NotLedError, conducting
from tests.faults.history.facts import History
from tests.faults.history.reading import read_history
from tests.faults.history.recorder import install
from tests.faults.senders import check_senders
from tests.faults.strikes import Fault, Scene
from tests.support.applies import plan_of
from tests.support.desk import Desk, answers, dial, put_policy, request_id, world_message, world_status
from tests.support.saying import Say
from tests.support.waiting import wait_until

PHASES: Final = (
    run_pb2.RUN_PHASE_FREEZING,
    run_pb2.RUN_PHASE_SWITCHING,
    run_pb2.RUN_PHASE_UNFREEZING,
    run_pb2.RUN_PHASE_REOPENING,
    run_pb2.RUN_PHASE_DRAINING,
)
INTENTS_PER_SECOND: Final = 50.0
POLICY: Final = """\
apply: manual
gates: [{name: sharpe, rule: "metrics.sharpe >= -99.0"}]
select: {top_k: 100}
runs: {freeze_timeout_ms: 20000, switch_timeout_ms: 10000, unfreeze_timeout_ms: 10000, rollback_timeout_ms: 10000}
"""
FLOW_SECONDS: Final = 60.0
END_SECONDS: Final = 60.0
REST_SECONDS: Final = 60.0
START_SECONDS: Final = 30.0  # until a gateway reaches the services behind it
SUBMIT_SECONDS: Final = 240.0
ASTRAY: Final = "stream_astray"
MOVING: Final = "under way"
MOVING_SECONDS: Final = 0.3
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Struck:
    """Hold one run that counts: what struck it in which phase, how it ended, how many intents flowed before.

    ``seconds`` from the strike to its end; ``rate`` in all worlds, before the episode's runs began; ``first`` and
    ``last`` bound the episode in the order stream.
    """

    seed: int
    fault: str
    evidence: str
    world: str
    phase: str
    run_id: str
    outcome: str
    seconds: float
    rate: float
    first: int
    last: int


@dataclass(slots=True)
class Campaign:
    """Hold a cluster with worlds that trade, and what struck them so far."""

    seed: int
    scene: Scene
    conductor: Conductor
    applies: Applies
    say: Say
    struck: list[Struck] = field(default_factory=list)
    _episodes: int = 0

    @property
    def cluster(self) -> Cluster:
        """Return the cluster."""
        return self.scene.cluster

    @property
    def journals(self) -> Path:
        """Return the folder of the runners' journals."""
        return self.cluster.directory / "journals"

    def begin(self, runners: int) -> None:
        """Make the worlds, start so many runners in each, and let their strategies trade."""
        with dial(self.cluster.gateways[0], self.cluster.token) as desk:
            wait_until(lambda: answers(desk), START_SECONDS)
            register_builtin_presets(Address.parse(self.cluster.gateways[0]), lambda: self.cluster.token)
            for world in self.scene.worlds:
                _make_world(desk, world)
                for number in range(runners):
                    self.scene.runners.start(world, number)
            self.say(f"{len(self.scene.runners.running)} runners in {len(self.scene.worlds)} worlds")
            for world in self.scene.worlds:
                wait_until(partial(self._evaluated, desk, world), SUBMIT_SECONDS)
        for world in self.scene.worlds:
            self.conductor.release(world)
            self._start(world, "first")
        for world in self.scene.worlds:
            self._ended(world, "first")
        self.rest()

    def strike(self, fault: Fault, *, moving: bool = False) -> list[Struck]:
        """Let a fault strike a run in each world, and return the runs that were under way then.

        ``moving``: nothing keeps the runs in a phase; the fault strikes at a moment that chance draws. Runs that ended
        before the fault struck are none; where that is so of all, it is tried again.
        """
        for _ in range(TRIES):
            try:
                found = self._strike(fault, moving=moving)
            except NotLedError as error:
                self.say(f"    {fault.name}: {error}; tried again")
                self.rest()
                continue
            if found:
                self.struck += found
                return found
        raise AssertionError(f"{fault.name} struck no run in {TRIES} episodes")

    def _strike(self, fault: Fault, *, moving: bool) -> list[Struck]:
        number, self._episodes = self._episodes, self._episodes + 1
        began = time.monotonic()
        rate = self.await_flow()
        first = self.scene.broker.last("orders")
        run_id = f"run-{number}"
        steps = fault.begin(self.scene)
        next(steps)
        phases = {} if moving else self._phases(fault)
        try:
            self._begin_runs(run_id, phases)
        except NotLedError:
            for world in phases:
                self.conductor.release(world)
            for _ in steps:  # what it changes it also mends
                pass
            raise
        struck_at = datetime.now(UTC)
        evidence = next(steps)
        for world in phases:
            self.conductor.release(world)
        if fault.brief is not None:
            time.sleep(fault.brief)
            next(steps, None)
        ended = {world: self._ended(world, run_id) for world in self.scene.worlds}
        if fault.brief is None:
            next(steps, None)
        self.rest()
        last = self.scene.broker.last("orders")
        found = [
            Struck(
                seed=self.seed,
                fault=fault.name,
                evidence=evidence,
                world=world,
                phase=phase_text(phases[world]) if world in phases else MOVING,
                run_id=run_id,
                outcome=f"{phase_text(run.phase)}{', held' if run.holds else ''}",
                seconds=_seconds_behind(struck_at, run),
                rate=rate,
                first=first,
                last=last,
            )
            for world, run in ended.items()
            if _seconds_behind(struck_at, run) > 0.0
        ]
        wrong = [each for each in found if fault.outcomes and not moving and each.outcome not in fault.outcomes]
        assert not wrong, f"{fault.name}: {wrong}"
        self.say(f"{number + 1:3} {fault.name}: {evidence}; {rate:.0f}/s before; {_counted(found)}; "
                 f"{time.monotonic() - began:.0f} s")  # fmt: skip
        return found

    def stop_trading(self) -> None:
        """End the runners, and wait until everything that they sent is answered."""
        self.scene.runners.end()
        newest = {world: self.scene.broker.newest_intent(world) for world in self.scene.worlds}
        wait_until(lambda: not self.scene.database.behind(newest), REST_SECONDS)
        wait_until(lambda: self.scene.database.unanswered() == 0, REST_SECONDS)
        wait_until(lambda: not self.scene.database.unsettled(list(self.scene.worlds)), REST_SECONDS)

    def judged(self, since: Mapping[str, int] | None = None) -> dict[str, tuple[History, list[Violation]]]:
        """Return what was recorded of each world, and what is wrong with it; nobody trades any more.

        ``since``: places of the order stream, by world; only what stands behind them is judged.
        """
        found = {}
        for world in self.scene.worlds:
            history = asyncio.run(
                read_history(
                    self.cluster.dsn,
                    self.cluster.nats_url,
                    world,
                    at_rest=True,
                    deleted_marks=frozenset(self.scene.lost_marks[world]),
                    deleted_events=frozenset(self.scene.lost_events[world]),
                )
            )
            found[world] = (
                history,
                [
                    *check(history, 0 if since is None else since[world]),
                    *check_senders(history, self.journals),
                ],
            )
        return found

    def _evaluated(self, desk: Desk, world: str) -> bool:
        """Tell whether the strategies of a world's runners are evaluated."""
        for runner in self.scene.runners.of(world):
            assert runner.alive, f"{runner.strategy_id} ended: {Path(runner.spec.log).read_text()[-2_000:]}"
        strategies = world_status(desk, world).strategies
        return len(strategies) == len(self.scene.runners.of(world)) and all(each.status for each in strategies)

    # ---- Steps of an episode

    def _begin_runs(self, run_id: str, phases: Mapping[str, run_pb2.RunPhase]) -> None:
        """Begin a run in each world, and lead it to its phase; without one let it run, and wait a moment."""
        for world, phase in phases.items():
            self.conductor.stay(world, phase)
        for world in self.scene.worlds:
            self._start(world, run_id)
        for world, phase in phases.items():
            self.conductor.lead(world, run_id, phase)
        if not phases:
            time.sleep(self.scene.chance.uniform(0.0, MOVING_SECONDS))

    def await_flow(self, least: float = INTENTS_PER_SECOND) -> float:
        """Wait until intents flow in every world, as many in all as they must; return how many in a second."""
        before = {world: self.scene.broker.newest_intent(world) for world in self.scene.worlds}
        wait_until(
            lambda: all(self.scene.broker.newest_intent(world) > place for world, place in before.items()), FLOW_SECONDS
        )
        deadline = time.monotonic() + FLOW_SECONDS
        while (rate := self.scene.broker.rate()) < least:
            assert time.monotonic() < deadline, f"only {rate:.0f} intents a second flow"
        return rate

    def _phases(self, fault: Fault) -> dict[str, run_pb2.RunPhase]:
        """Return the phase in which a fault shall strike each world, each another one."""
        if fault.freezing_only:
            return dict.fromkeys(self.scene.worlds, run_pb2.RUN_PHASE_FREEZING)
        phases = self.scene.chance.sample(PHASES, len(PHASES))
        return dict(zip(self.scene.worlds, phases, strict=False))

    def _start(self, world: str, run_id: str) -> None:
        request = run_request(self.scene, world, run_id, self.scene.chance)
        self.scene.requests[world] = request
        self._ask("StartApply", request)

    def _ended(self, world: str, run_id: str) -> run_pb2.ApplyRun:
        """Wait until a run is over, and return it."""
        found: list[run_pb2.ApplyRun] = []

        def over() -> bool:
            try:
                found[:] = [self.applies.run(world, run_id)]
            except grpc.RpcError:  # the services are being struck
                return False
            return found[0].HasField("end_time")

        try:
            wait_until(over, END_SECONDS)
        except AssertionError:
            raise AssertionError(f"{world}: run {run_id} does not end: {found}") from None
        return found[0]

    def rest(self) -> None:
        """Mend everything, end all holds, wait until all worlds are open and what was sent so far is executed."""
        successor = self.cluster.processes[SUCCESSOR]
        self.cluster.heal()
        self.scene.runners.heal()
        if successor.alive:
            successor.stop()
        for world in self.scene.worlds:
            self._reopen(world)
        waiting = list(self.scene.worlds)
        try:
            wait_until(lambda: not self.scene.database.unsettled(waiting), REST_SECONDS)
        except AssertionError:
            raise AssertionError(f"not at rest: {self.scene.database.unsettled(waiting)}") from None
        newest = {world: self.scene.broker.newest_intent(world) for world in waiting}
        wait_until(lambda: not self.scene.database.behind(newest), REST_SECONDS)

    def _reopen(self, world: str) -> None:
        """End the holds of a world as an operator would: reseed it where streams disagree, then resume."""
        deadline = time.monotonic() + REST_SECONDS
        while (told := self.applies.told(world)).holds or told.phase != ack_pb.APPLY_PHASE_UNFREEZE:
            assert time.monotonic() < deadline, f"{world} stays {told.phase} with {list(told.holds)}"
            if ASTRAY in told.holds:
                request = pb.ReseedWorldRequest(world=world, reason="fault suite")
                self._try("ReseedWorld", request)
            elif told.holds:
                run_id = f"resume-{told.activation_set.sequence}"
                self._try("ResumeWorld", pb.ResumeWorldRequest(
                    world=world, run_id=run_id, hold=told.holds[0]
                ))  # fmt: skip
            time.sleep(0.1)

    def _ask(self, method: str, request: Any) -> Any:
        return self.applies.call(method, request, seconds=10.0)

    def _try(self, method: str, request: Any) -> None:
        """Ask for what is refused as long as another run is under way, or what was told has not been relayed."""
        try:
            self._ask(method, request)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS):
                raise


@dataclass(frozen=True, slots=True)
class Size:
    """State how much trades: worlds, runners in each, and how many bars each runner gets in a second."""

    worlds: int
    runners: int
    bars_per_second: float


WHOLE: Final = Size(worlds=5, runners=6, bars_per_second=0.8)
SHORT: Final = Size(worlds=5, runners=3, bars_per_second=1.6)
SMALL: Final = Size(worlds=3, runners=2, bars_per_second=4.0)
SLOW: Final = Size(worlds=3, runners=2, bars_per_second=0.8)


@contextmanager
def campaign(seed: int, size: Size, say: Say) -> Iterator[Campaign]:
    """Yield a campaign of so many worlds, each with one runner of each strategy, once all of them trade."""
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster())
        asyncio.run(install(cluster.dsn))
        runners = stack.enter_context(running_host(cluster.directory, cluster.gateways, size.bars_per_second))
        broker = stack.enter_context(open_broker(cluster.nats_url))
        conductor, applies = stack.enter_context(conducting(cluster.worlds, cluster.token))
        names = [f"world-{number}" for number in range(size.worlds)]
        chance = random.Random(seed)  # noqa: S311  # a schedule is no secret
        scene = Scene(cluster, runners, broker, Database(cluster.dsn), applies, names, chance)
        found = Campaign(seed, scene, conductor, applies, say)
        try:
            found.begin(size.runners)
            yield found
        except BaseException:
            say(f"seed {seed}: logs and journals are kept in {_kept(cluster)}")
            raise


def run_request(scene: Scene, world: str, run_id: str, chance: random.Random) -> pb.StartApplyRequest:
    """Return what begins a run to a set that differs from the one that trades: some weights, sometimes one strategy
    less."""
    ids = [each.strategy_id for each in scene.runners.of(world)]
    chosen = chance.sample(ids, len(ids) - chance.randrange(2))
    weights = {each: chance.uniform(0.2, 0.9) / len(ids) for each in chosen}
    return pb.StartApplyRequest(world=world, run_id=run_id, plan=plan_of(weights))


def phase_text(phase: int) -> str:
    """Return a phase of a run in words."""
    return run_pb2.RunPhase.Name(phase).removeprefix("RUN_PHASE_").lower().replace("_", " ")


def _kept(cluster: Cluster) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="qmtl-faults-"))
    for name in ("logs", "journals"):
        if (cluster.directory / name).exists():
            shutil.copytree(cluster.directory / name, folder / name)
    return folder


def _make_world(desk: Desk, world: str) -> None:
    model = world_pb2.ExecutionModel(
        fill=world_pb2.FILL_NEXT_OPEN, rebalance=world_pb2.REBALANCE_EVERY_BAR, initial_cash=1_000_000.0
    )
    message = world_message(world, "sample_us_equity_1d", execution_model=model)
    desk.worlds.CreateWorld(world_service_pb2.CreateWorldRequest(request_id=request_id(), world=message))
    put_policy(desk, world, POLICY)


def _seconds_behind(moment: datetime, run: run_pb2.ApplyRun) -> float:
    return float((run.end_time.ToDatetime(UTC) - moment).total_seconds())


def _counted(found: Sequence[Struck]) -> str:
    return ", ".join(f"{each.phase} -> {each.outcome} {each.seconds:.1f}" for each in found)
