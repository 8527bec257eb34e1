"""``qmtl.apply.v1.ApplyService``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf.message import Message

from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import EVENT_CONTEXT, REQUEST_CONTEXT, bytes_id
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2 as pb
from qmtl_foundation.pb.qmtl.apply.v1 import lease_pb2, run_pb2
from qmtl_foundation.pb.qmtl.apply.v1.apply_service_pb2_grpc import ApplyServiceServicer
from qmtl_foundation.postgres import acquire, rehearsal, snapshot, transaction
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_foundation.postgres.signals import Signals, wait
from qmtl_foundation.requests import (
    REQUEST_ID,
    check_content_id,
    check_page_size,
    check_request_id,
    check_resource_name,
    decode_number_token,
    encode_page_token,
    not_found,
)
from qmtl_foundation.rpc.admission import caller
from qmtl_world.apply import participants, proposals, store
from qmtl_world.apply.coordinator import Coordinator, new_run, route
from qmtl_world.apply.enrolling import Enrolling
from qmtl_world.apply.messages import to_activation_answer, to_enrolment, to_run
from qmtl_world.apply.model import Activation
from qmtl_world.apply.participants import LEASE, Kind, WorldPlace
from qmtl_world.apply.place import OPERATOR, ExecutorAcknowledged, Phase, RollBack, Stop
from qmtl_world.apply.planning import Planner
from qmtl_world.apply.records import MarkPassed, RunRecord
from qmtl_world.apply.requests import (
    read_acknowledgement,
    read_id,
    read_lease,
    read_order_mode,
    read_own_hold,
    read_plan,
    read_run_id,
)
from qmtl_world.apply.reseed import Reseeding
from qmtl_world.audit.model import Cause, read_cause
from qmtl_world.idempotency import Request, answered, note_answer, once
from qmtl_world.worlds import store as world_store

NEWEST: Final = 2**63 - 1
WATCH_SECONDS: Final = 1.0  # a watcher looks this often even without a signal

_GOING_BACK: Final = frozenset({Phase.REOPENING, Phase.DRAINING, Phase.ROLLED_BACK})


Plan = Callable[[Connection], Awaitable[tuple[Activation, ...]]]


class ApplyService(ApplyServiceServicer):
    """Answer for apply runs, holds, executors and leases."""

    def __init__(
        self,
        pool: Pool,
        coordinator: Coordinator,
        planner: Planner,
        enrolling: Enrolling,
        reseeding: Reseeding,
        signals: Signals,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._coordinator = coordinator
        self._planner = planner
        self._enrolling = enrolling
        self._reseeding = reseeding
        self._signals = signals
        self._clock = clock

    async def GetActivation(self, request: pb.GetActivationRequest, context: Any) -> pb.GetActivationResponse:
        """Read what may trade, at the last relayed sequence, and the reasons for which the world is held."""
        name = check_resource_name("world", request.world)
        async with snapshot(self._pool) as connection:
            await world_store.read_world(connection, name)
            payload = await store.read_relayed(connection, name)
            holds = sorted((await store.read_place(connection, name)).place.holds)
        event_hash = "" if payload is None else bytes_id(EVENT_CONTEXT, payload)
        return to_activation_answer(name, payload, event_hash, holds)

    async def StartApply(self, request: pb.StartApplyRequest, context: Any) -> pb.StartApplyResponse:
        """Begin a run, or say what it would be."""
        planned = read_plan(request.plan) if request.HasField("plan") else None
        rehearse = request.validate_only
        request.validate_only = False  # no part of what makes a request another one
        asked = _Asked(
            world=check_resource_name("world", request.world),
            run_id=read_run_id(request.run_id),
            cause=read_cause(caller().name, request.reason),
            request_hash=_hash(request),
            base=check_content_id("base_state_hash", request.base_state_hash) if request.base_state_hash else "",
        )

        async def plan(connection: Connection) -> tuple[Activation, ...]:
            if planned is not None:
                return await self._planner.plan(connection, asked.world, planned)
            return await _proposed(connection, asked.world)

        return pb.StartApplyResponse(run=await self._begin(asked, plan, queue=request.queue, rehearse=rehearse))

    async def ResumeWorld(self, request: pb.ResumeWorldRequest, context: Any) -> pb.ResumeWorldResponse:
        """Begin a run with the set that stands, which ends a hold."""
        asked = _Asked(
            world=check_resource_name("world", request.world),
            run_id=read_run_id(request.run_id),
            cause=read_cause(caller().name, request.reason),
            request_hash=_hash(request),
            clears=check_resource_name("hold", request.hold) if request.hold else OPERATOR,
        )

        async def plan(connection: Connection) -> tuple[Activation, ...]:
            return (await store.lock_place(connection, asked.world)).place.activations

        return pb.ResumeWorldResponse(run=await self._begin(asked, plan, queue=False, rehearse=False))

    async def GetApply(self, request: pb.GetApplyRequest, context: Any) -> pb.GetApplyResponse:
        """Read a run."""
        name, run_id = check_resource_name("world", request.world), read_id("run_id", request.run_id)
        return pb.GetApplyResponse(run=await self._read(name, run_id))

    async def ListApplies(self, request: pb.ListAppliesRequest, context: Any) -> pb.ListAppliesResponse:
        """List runs."""
        name, size = check_resource_name("world", request.world), check_page_size(request.page_size)
        below = decode_number_token(request.page_token, NEWEST)
        async with snapshot(self._pool) as connection:
            await world_store.read_world(connection, name)
            found = await store.list_runs(connection, name, below, size + 1)
            place = (await store.read_place(connection, name)).place
            leases = await participants.live_gateways(connection, request.world)
        token = encode_page_token(str(found[size - 1][0])) if len(found) > size else ""
        runs = [to_run(record, place, leases) for _, record in found[:size]]
        return pb.ListAppliesResponse(runs=runs, next_page_token=token)

    async def WatchApply(self, request: pb.WatchApplyRequest, context: Any) -> AsyncIterator[pb.WatchApplyResponse]:
        """Follow a run to its end."""
        name, run_id = check_resource_name("world", request.world), read_id("run_id", request.run_id)
        seen, awaited = request.revision, None  # executors come and go, leases are renewed: no revision of the run
        async with self._signals.watching(name) as stepped:
            while True:
                heed_cancellation()
                run = await self._read(name, run_id)
                waited_for = list(run.awaited)
                if run.revision > seen or (awaited is not None and waited_for != awaited):
                    yield pb.WatchApplyResponse(run=run)
                seen, awaited = run.revision, waited_for
                if run.HasField("end_time"):
                    return
                await wait(stepped, WATCH_SECONDS)

    async def RollbackApply(self, request: pb.RollbackApplyRequest, context: Any) -> pb.RollbackApplyResponse:
        """Undo a run; one that waits is aborted, one that goes back already is only read."""
        name, run_id = check_resource_name("world", request.world), read_id("run_id", request.run_id)
        cause = read_cause(caller().name, request.reason)
        async with transaction(self._pool) as connection:
            await world_store.read_world(connection, name)
            standing = await store.lock_place(connection, name)
            record = await _existing(connection, name, run_id)
            reason = cause.reason or f"asked for by {cause.actor}"
            run = standing.place.run
            if record.run.phase is Phase.QUEUED:
                await self._coordinator.abort(connection, record, replace(cause, reason=reason))
            elif run is None or run.run_id != run_id or run.phase not in _GOING_BACK:
                gateways = frozenset(await participants.live_gateways(connection))
                await self._coordinator.step(connection, name, RollBack(run_id, reason, gateways), cause)
        return pb.RollbackApplyResponse(run=await self._read(name, run_id))

    async def FreezeWorld(self, request: pb.FreezeWorldRequest, context: Any) -> pb.FreezeWorldResponse:
        """Freeze and hold, now."""
        name = check_resource_name("world", request.world)
        hold = read_own_hold(request.hold)
        cause = read_cause(caller().name, request.reason)
        # No key refuses a stop, not even a malformed one, and none is waited for: keys are not locked here.
        named = _named("FreezeWorld", request) if REQUEST_ID.fullmatch(request.request_id) else None
        async with transaction(self._pool) as connection:
            await world_store.read_world(connection, name)
            before = (await store.lock_place(connection, name)).place
            # A run under a hold is its resume, which would open the world: that is to be stopped, by whatever key.
            stands = hold in before.holds and before.running is None
            earlier = await answered(connection, named) if named is not None and stands else None
            if earlier is not None:
                return pb.FreezeWorldResponse.FromString(earlier)
            reason = cause.reason or f"stopped by {cause.actor}"
            place = (await self._coordinator.step(connection, name, Stop(hold, reason), cause)).place
            answer = pb.FreezeWorldResponse(epoch=place.epoch, holds=sorted(place.holds))
            if named is not None:
                await note_answer(connection, named, answer.SerializeToString())
        return answer

    async def ReseedWorld(self, request: pb.ReseedWorldRequest, context: Any) -> pb.ReseedWorldResponse:
        """Take a world above everything seen."""
        name = check_resource_name("world", request.world)
        cause, named = read_cause(caller().name, request.reason), _named("ReseedWorld", request)
        ends = await self._reseeding.look(name)

        async def work(connection: Connection) -> bytes:
            place = await self._reseeding.reseed(connection, name, ends, cause)
            answer = pb.ReseedWorldResponse(epoch=place.epoch, sequence=place.sequence, holds=sorted(place.holds))
            return answer.SerializeToString()

        return pb.ReseedWorldResponse.FromString(await once(self._pool, named, work))

    async def EnrolExecutor(self, request: pb.EnrolExecutorRequest, context: Any) -> pb.EnrolExecutorResponse:
        """Enrol an executor."""
        name, executor = check_resource_name("world", request.world), check_resource_name("executor", request.executor)
        mode, cause = read_order_mode(request.mode), read_cause(caller().name, request.reason)
        async with transaction(self._pool) as connection:
            await world_store.read_world(connection, name)
            enrolment, place = await self._enrolling.enrol(connection, name, executor, mode, cause)
        return pb.EnrolExecutorResponse(enrolment=to_enrolment(enrolment, place))

    async def DeregisterExecutor(
        self, request: pb.DeregisterExecutorRequest, context: Any
    ) -> pb.DeregisterExecutorResponse:
        """Let an executor leave."""
        name, executor = check_resource_name("world", request.world), check_resource_name("executor", request.executor)
        cause, named = read_cause(caller().name, request.reason), _named("DeregisterExecutor", request)

        async def work(connection: Connection) -> bytes:
            await world_store.read_world(connection, name)
            enrolment, place = await self._enrolling.deregister(connection, name, executor, cause)
            return pb.DeregisterExecutorResponse(enrolment=to_enrolment(enrolment, place)).SerializeToString()

        return pb.DeregisterExecutorResponse.FromString(await once(self._pool, named, work))

    async def ListExecutors(self, request: pb.ListExecutorsRequest, context: Any) -> pb.ListExecutorsResponse:
        """List a world's executors."""
        name = check_resource_name("world", request.world)
        async with snapshot(self._pool) as connection:
            await world_store.read_world(connection, name)
            place = (await store.read_place(connection, name)).place
            found = await participants.list_enrolments(connection, name)
        return pb.ListExecutorsResponse(enrolments=[to_enrolment(each, place) for each in found])

    async def AcknowledgeActivation(
        self, request: pb.AcknowledgeActivationRequest, context: Any
    ) -> pb.AcknowledgeActivationResponse:
        """Take a participant's acknowledgement."""
        world = check_resource_name("acknowledgement.world", request.acknowledgement.world)
        said = read_acknowledgement(request.acknowledgement)
        caller().check_service(Kind.EXECUTOR if isinstance(said, MarkPassed) else Kind.GATEWAY)
        event = ExecutorAcknowledged(said.executor, said.kind, said.epoch) if isinstance(said, MarkPassed) else said
        await self._coordinator.take(world, event, acknowledged=said)
        return pb.AcknowledgeActivationResponse()

    async def RenewLease(self, request: pb.RenewLeaseRequest, context: Any) -> pb.RenewLeaseResponse:
        """Keep a participant's lease."""
        kind, name, incarnation, held = read_lease(request)
        caller().check_service(kind)
        places = await self._coordinator.renew(kind, name, incarnation, held)
        ttl_ms = int(LEASE.total_seconds() * 1_000)
        return pb.RenewLeaseResponse(ttl_ms=ttl_ms, worlds=[_to_place(each) for each in places])

    async def _begin(self, asked: _Asked, plan: Plan, *, queue: bool, rehearse: bool) -> run_pb2.ApplyRun:
        """Begin a run once; the same request again reads it. A rehearsal begins nothing, and shows what would be."""
        async with (rehearsal if rehearse else transaction)(self._pool) as connection:
            await world_store.read_world(connection, asked.world, lock=True)
            known = await store.read_run(connection, asked.world, asked.run_id)
            if known is None:
                standing = await store.lock_place(connection, asked.world)
                record = new_run(
                    asked.world,
                    asked.run_id,
                    await route(connection, asked.world, await plan(connection)),
                    standing.terms,
                    asked.cause,
                    self._clock(),
                    request_hash=asked.request_hash,
                    base=asked.base,
                    clears=asked.clears,
                    trace=tracing.current(),
                )
                await self._coordinator.begin(connection, record, queue=queue, standing=standing)
            elif known.request_hash != asked.request_hash:
                message = f"run {asked.run_id!r} of world {asked.world!r} stands for another request; take a new id"
                metadata = {"world": asked.world, "run_id": asked.run_id}
                raise QmtlError(Reason.RUN_EXISTS, message, metadata=metadata)
            if rehearse:
                return await self._describe(connection, asked.world, asked.run_id)
        self._signals.hurry()
        return await self._read(asked.world, asked.run_id)  # after the commit: only the caller waits for it

    async def _read(self, world: str, run_id: str) -> run_pb2.ApplyRun:
        async with acquire(self._pool) as connection:
            shown = await store.show_newest(connection, world, run_id)
        if shown is not None:
            return to_run(shown.record, shown.place, shown.leases, shown.timeline)
        async with snapshot(self._pool) as connection:
            await world_store.read_world(connection, world)
            return await self._describe(connection, world, run_id)

    async def _describe(self, connection: Connection, world: str, run_id: str) -> run_pb2.ApplyRun:
        record = await _existing(connection, world, run_id)
        place = (await store.read_place(connection, world)).place
        leases = await participants.live_gateways(connection, world)
        return to_run(record, place, leases, await store.read_timeline(connection, world, run_id))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Hold what a request for a run states beside its plan."""

    world: str
    run_id: str
    cause: Cause
    request_hash: str
    base: str = ""
    clears: str = ""


def _named(
    method: str, request: pb.FreezeWorldRequest | pb.ReseedWorldRequest | pb.DeregisterExecutorRequest
) -> Request | None:
    """Return a mutation's name, None where its caller gives it no id; raise for an id that is malformed."""
    if not request.request_id:
        return None
    return Request(check_request_id(request.request_id), method, _hash(request))


def _hash(request: Message) -> str:
    """Return the identity of a request; of two methods, equal bytes are not the same request."""
    method = request.DESCRIPTOR.full_name.encode()
    return bytes_id(REQUEST_CONTEXT, method + b"\0" + request.SerializeToString(deterministic=True))


async def _existing(connection: Connection, world: str, run_id: str) -> RunRecord:
    record = await store.read_run(connection, world, run_id)
    if record is None:
        mend = f"`qmtl apply list {world}` shows those there are"
        raise not_found(Reason.RUN_NOT_FOUND, "apply run", run_id, mend, world=world, run_id=run_id)
    return record


async def _proposed(connection: Connection, world: str) -> tuple[Activation, ...]:
    """Return what the newest round says shall trade."""
    proposal = await proposals.read_proposal(connection, world)
    if proposal is None:
        message = f"no round of world {world!r} has said what shall trade; evaluate a strategy, or state a plan"
        raise QmtlError(Reason.NOTHING_PLANNED, message, metadata={"world": world})
    return proposal.says


def _to_place(place: WorldPlace) -> lease_pb2.WorldPlace:
    return lease_pb2.WorldPlace(
        world=place.world,
        epoch=place.epoch,
        sequence=place.sequence,
        is_open=place.is_open,
        enrolment=place.enrolment,
        enrolment_position=place.enrolment_position,
        purge_position=place.purged,
        purge_generation=place.purge_generation,
    )
