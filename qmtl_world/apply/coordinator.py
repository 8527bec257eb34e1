"""Carries apply runs: each step of the machine is one transaction under the lock of its world's place.

No replica owns a run. Whoever hears an acknowledgement, or finds something due, takes the next step of what the
database says then; two at once are one after the other, and the second finds what the first left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

import asyncpg

from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.execution_domain import ORDER_MODES, EffectiveMode
from qmtl_foundation.postgres import acquire, after_commit, transaction
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_world.apply import machine, participants, proposals, spans, store
from qmtl_world.apply.messages import refuse_large_set
from qmtl_world.apply.metrics import ApplyMetrics
from qmtl_world.apply.model import Activation, ActivationSet, RunTerms, state_hash
from qmtl_world.apply.participants import Held, Kind, WorldPlace
from qmtl_world.apply.place import (
    ASTRAY,
    Effect,
    Event,
    ExecutorClosed,
    GatewayAcknowledged,
    GatewayLost,
    Phase,
    Place,
    Run,
    Start,
    Stop,
    SwitchFailed,
    Timeouts,
    TimePassed,
)
from qmtl_world.apply.proposals import Proposal
from qmtl_world.apply.records import PROTOCOL, ROUND_RUN, ApplyRecord, MarkPassed, RunRecord, Standing
from qmtl_world.apply.refusals import foreign_acknowledgement
from qmtl_world.apply.timeline import planned, records
from qmtl_world.audit import store as audit_store
from qmtl_world.audit.model import Cause

POLL_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


def _nobody() -> None:
    """Leave it to PostgreSQL to notify the relay."""


class Coordinator:
    """Take the steps of all worlds. ``committed`` is called after each that it committed by itself."""

    def __init__(
        self, pool: Pool, clock: Clock, metrics: ApplyMetrics, committed: Callable[[], None] = _nobody
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._metrics = metrics
        self._committed = committed

    # ---- Steps

    async def take(
        self,
        world: str,
        event: Event,
        cause: Cause = PROTOCOL,
        acknowledged: GatewayAcknowledged | MarkPassed | None = None,
    ) -> Standing:
        """Let a world take an event in a transaction of its own; raise what the machine refuses.

        A switch that the database refuses is rolled back: the run ends with the prior set, held.
        """
        try:
            async with transaction(self._pool) as connection:
                after = await self.step(connection, world, event, cause, acknowledged)
        except asyncpg.PostgresError as error:
            if isinstance(event, SwitchFailed):
                raise
            _log.exception("a step of world %s failed", world)
            return await self._fail_switch(world, error)
        self._committed()
        return after

    async def step(
        self,
        connection: Connection,
        world: str,
        event: Event,
        cause: Cause = PROTOCOL,
        acknowledged: GatewayAcknowledged | MarkPassed | None = None,
    ) -> Standing:
        """Let a world take an event within a transaction, and what waits for the end of its run begin."""
        before = await store.lock_place(connection, world)
        now = self._clock()
        if isinstance(acknowledged, MarkPassed):
            await _check_mark(connection, before.place, acknowledged)
        place, effects = machine.step(before.place, event, now)
        if acknowledged is not None:
            await participants.add_acknowledgement(connection, world, acknowledged, now)
        if place == before.place and not effects:
            return before
        after = replace(before, place=place, record=_moved(before.record, place, now))
        lines = records(before.place, place, event, effects, cause, now)
        after = await self._save(connection, before, after, effects, lines)
        return await self._go_on(connection, after)

    async def begin(
        self, connection: Connection, record: RunRecord, *, queue: bool, standing: Standing | None = None
    ) -> Standing:
        """Begin a run within a transaction, or let it wait for the one before it; ``standing`` where it is locked."""
        refuse_large_set(record.world, record.run.plan)
        if standing is None:
            standing = await store.lock_place(connection, record.world)
        if queue and standing.place.running is not None:
            await store.add_run(connection, record)
            await _note(connection, record, "queued", record.cause, record.create_time)
            return standing
        return await self._go_on(connection, await self._start(connection, standing, record, is_new=True))

    async def propose(
        self,
        connection: Connection,
        world: str,
        round_id: int,
        says: Sequence[Activation],
        applied: Sequence[Activation],
        terms: RunTerms,
    ) -> None:
        """Keep what a round says, and begin a run to what of it applies by itself, as soon as one may begin."""
        standing = await store.save_terms(connection, await store.lock_place(connection, world), terms)
        routes = await _routes(connection, world)
        wanted = _routed(applied, routes)
        place = standing.place
        # Kept while a run is under way, were it to this very set: that may still be rolled back.
        pending = None if place.running is None and state_hash(wanted) == place.state_hash else wanted
        proposal = Proposal(world, round_id, _routed(says, routes), pending, trace=tracing.current())
        await proposals.put_proposal(connection, proposal)
        await self._go_on(connection, standing)

    async def _start(self, connection: Connection, before: Standing, record: RunRecord, *, is_new: bool) -> Standing:
        """Take the first step of a run; raise what refuses it, and nothing is stored."""
        now = self._clock()
        gateways = frozenset(await participants.live_gateways(connection))
        run = record.run
        plan = None if run.clears else run.plan
        event = Start(run.run_id, plan, gateways, run.clears, record.base, run.timeouts)
        place, effects = machine.step(before.place, event, now)
        if is_new:
            await store.add_run(connection, record)
        begun = replace(record, epoch=before.place.epoch + 1)
        after = replace(before, place=place, record=_moved(begun, place, now))
        lines = records(before.place, place, event, effects, record.cause, now)
        return await self._save(connection, before, after, effects, lines)

    async def _save(
        self,
        connection: Connection,
        before: Standing,
        after: Standing,
        effects: Sequence[Effect],
        lines: Sequence[ApplyRecord],
    ) -> Standing:
        now = self._clock()
        saved = await store.save(connection, before, after, effects, lines, now)
        if saved.record is not None:
            after_commit(partial(self._metrics.moved, before.record, saved.record, now))
            after_commit(partial(spans.moved, before.record, saved.record, now))
        return saved

    async def _go_on(self, connection: Connection, standing: Standing) -> Standing:
        """Begin what waits while no run is under way: queued runs in their order, then what the newest round says."""
        if standing.place.running is not None or not await store.anything_waits(connection, standing.place.world):
            return standing
        while standing.place.running is None:
            queued = await store.next_queued(connection, standing.place.world)
            if queued is None:
                return await self._follow_round(connection, standing)
            try:
                standing = await self._start(connection, standing, queued, is_new=False)
            except QmtlError as error:
                await self.abort(connection, queued, Cause(reason=str(error)))
        return standing

    async def _follow_round(self, connection: Connection, standing: Standing) -> Standing:
        world = standing.place.world
        proposal = await proposals.read_proposal(connection, world)
        if proposal is None or proposal.pending is None:
            return standing
        plan = _routed(proposal.pending, await _routes(connection, world))
        if state_hash(plan) == standing.place.state_hash:
            await proposals.put_proposal(connection, replace(proposal, pending=None, waits_for=""))
            return standing
        cause = Cause(reason=f"round {proposal.round_id}")
        run_id, trace = f"{ROUND_RUN}{proposal.round_id}", proposal.trace
        record = new_run(world, run_id, plan, standing.terms, cause, self._clock(), trace=trace)
        try:
            refuse_large_set(world, plan)
            standing = await self._start(connection, standing, record, is_new=True)
        except QmtlError as error:
            if proposal.waits_for != error.message:
                await proposals.put_proposal(connection, replace(proposal, waits_for=error.message))
            return standing
        await proposals.put_proposal(connection, replace(proposal, pending=None, waits_for=""))
        return standing if standing.place.running is not None else await self._go_on(connection, standing)

    async def abort(self, connection: Connection, queued: RunRecord, cause: Cause) -> None:
        """End a run that waits, within a transaction that has its world's place locked."""
        now = self._clock()
        await store.end_queued(connection, queued, cause.reason, now)
        await _note(connection, queued, "aborted", cause, now)
        after_commit(self._metrics.aborted)
        after_commit(partial(spans.aborted, queued, now))

    async def _fail_switch(self, world: str, error: asyncpg.PostgresError) -> Standing:
        async with acquire(self._pool) as connection:
            run = (await store.read_place(connection, world)).place.running
        if run is None or run.phase is not Phase.FREEZING:
            raise error
        reason = f"the switch failed: {type(error).__name__}; the service's log has the rest"
        return await self.take(world, SwitchFailed(run.run_id, reason))

    # ---- Participants

    async def renew(self, kind: Kind, name: str, incarnation: str, held: Sequence[Held]) -> list[WorldPlace]:
        """Renew a lease, and return where worlds stand: a gateway's own list, an executor's enrolments."""
        async with transaction(self._pool) as connection:
            await participants.renew(connection, kind, name, incarnation, held)
            if kind is Kind.EXECUTOR:
                await participants.note_executor(connection, name, incarnation)
                await participants.note_held(connection, name, held)
            places = await self._places(connection, kind, name, held)
        known = {each.world: each for each in places}
        has_moved = False
        for each in held:
            place = known.get(each.world)
            if place is None:
                continue
            if each.is_ahead_of(place):
                reason = f"{kind.value} {name!r} has seen what the database does not know"
                await self.hold_astray(each.world, reason, seen=each)
            elif each.is_restored(place.reseed_mark):
                reason = f"{kind.value} {name!r} found its journal restored to an older state"
                await self.hold_astray(each.world, reason, seen=each)
            elif each.unsure:
                await self.take(each.world, ExecutorClosed(name))
            else:
                continue
            has_moved = True
        if has_moved:
            async with acquire(self._pool) as connection:
                places = await self._places(connection, kind, name, held)
        return places

    @staticmethod
    async def _places(connection: Connection, kind: Kind, name: str, held: Sequence[Held]) -> list[WorldPlace]:
        if kind is Kind.EXECUTOR:
            return await participants.places_of_executor(connection, name)
        return await participants.places(connection, (each.world for each in held))

    async def hold_astray(self, world: str, reason: str, seen: Held | None = None) -> None:
        """Hold a world whose streams and database disagree; nothing more is relayed of it until it is reseeded."""
        async with transaction(self._pool) as connection:
            standing = await store.lock_place(connection, world)
            if seen is not None:
                place = standing.place
                if not (seen.is_above(place.epoch, place.sequence, place.mark) or seen.is_restored(place.reseed_mark)):
                    return  # it was reseeded meanwhile
                await participants.note_seen(connection, seen)
            if ASTRAY not in standing.place.holds:
                _log.error("world %s is held: %s", world, reason)
                await self.step(connection, world, Stop(ASTRAY, reason), Cause(reason=reason))

    async def run(self) -> None:
        """Do what is due, and stop waiting for gateways whose lease has ended, until cancelled."""
        while True:
            heed_cancellation()
            try:
                await self.look()
            except QmtlError as error:
                _log.warning("runs wait: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # a fault of ours must not end the service: worlds are frozen through it
                _log.exception("coordinator waits")
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Take every step that is due now."""
        async with acquire(self._pool) as connection:
            due = await store.due_worlds(connection, self._clock())
            unfinished = await store.unfinished_worlds(connection)
            places = [(await store.read_place(connection, world)).place for world in unfinished]
            live = await participants.live_gateways(connection)  # after the runs: who began to wait saw a lease
            self._metrics.holds = await store.held_worlds(connection)
        self._metrics.outstanding = {
            each.world: len(gateways) + len(executors)
            for each in places
            for gateways, executors in [machine.awaited(each)]
            if each.running is not None
        }
        waiting = [each.world for each in places if each.running and each.running.awaited - live.keys()]
        for world in dict.fromkeys((*waiting, *due)):
            try:
                await self._look_at(world)
            except Exception:  # a fault in one world must not keep the others waiting
                _log.exception("world %s waits", world)

    async def _look_at(self, world: str) -> None:
        """Stop waiting for gateways of which no lease lasts now, and take what is due."""
        async with transaction(self._pool) as connection:
            running = (await store.lock_place(connection, world)).place.running
            live = await participants.live_gateways(connection)
            for gateway in () if running is None else sorted(running.awaited - live.keys()):
                await self.step(connection, world, GatewayLost(gateway))
        await self.take(world, TimePassed())


async def intended(connection: Connection, world: str) -> ActivationSet:
    """Return what a world is about to trade: by its run, or what waits for one, else what stands."""
    standing = await store.read_place(connection, world)
    place, stands = standing.place, standing.activation_set
    if place.running is not None:
        return replace(stands, activations=place.running.plan)
    proposal = await proposals.read_proposal(connection, world)
    if proposal is not None and proposal.pending is not None:
        return replace(stands, activations=proposal.pending)
    return stands


def new_run(
    world: str, run_id: str, plan: Sequence[Activation], terms: RunTerms, cause: Cause, now: datetime, **stated: str
) -> RunRecord:
    """Return a run that has not begun; ``stated``: request_hash, base, clears, trace."""
    run = Run(
        run_id=run_id,
        phase=Phase.QUEUED,
        plan=tuple(plan),
        prior=(),
        prior_holds=frozenset(),
        timeouts=Timeouts.of(terms),
        deadline=now,
        awaited=frozenset(),
        clears=stated.get("clears", ""),
    )
    hashed = stated.get("request_hash", state_hash(plan))
    base, trace = stated.get("base", ""), stated.get("trace", "")
    return RunRecord(world, run, hashed, cause, base, 0, 1, now, now, None, trace)


async def route(connection: Connection, world: str, activations: Sequence[Activation]) -> tuple[Activation, ...]:
    """Return activations with the executor that takes the orders of each one's mode; empty where none is enrolled."""
    return _routed(activations, await _routes(connection, world))


async def _routes(connection: Connection, world: str) -> dict[EffectiveMode, str]:
    return {each.mode: each.executor for each in await participants.list_enrolments(connection, world)}


def _routed(activations: Sequence[Activation], routes: Mapping[EffectiveMode, str]) -> tuple[Activation, ...]:
    return tuple(
        replace(each, executor=routes.get(each.mode, "") if each.mode in ORDER_MODES else "") for each in activations
    )


async def _check_mark(connection: Connection, place: Place, passed: MarkPassed) -> None:
    """Raise for a mark that is none of an executor's present enrolment, or passed by a start that was replaced."""
    await participants.check_incarnation(connection, passed.executor, passed.incarnation)
    for each in await participants.list_enrolments(connection, place.world):
        if each.executor == passed.executor and not each.mark <= passed.mark <= place.mark:
            raise foreign_acknowledgement("mark", passed.mark, f"within [{each.mark}, {place.mark}]")


async def _note(connection: Connection, record: RunRecord, event: str, cause: Cause, now: datetime) -> None:
    """Add to the audit what becomes of a run that waits, which is no step."""
    run = record.run
    detail = planned(run.clears, run.plan)
    await audit_store.add(connection, record.world, event, cause, detail, now, run.run_id)


def _moved(record: RunRecord | None, place: Place, now: datetime) -> RunRecord | None:
    """Return a run's record as a step leaves it."""
    run = place.run
    if record is None or run is None or record.run == run:
        return record
    entered = now if record.run.phase is not run.phase else record.phase_time
    ended = now if run.is_terminal and record.end_time is None else record.end_time
    return replace(record, run=run, phase_time=entered, end_time=ended, revision=record.revision + 1)
