"""Activation sets, runs and enrolments as messages of the contract; what the control and order streams carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode, parse_mode
from qmtl_foundation.pb.qmtl.apply.v1 import (
    acknowledgement_pb2,
    activation_pb2,
    apply_service_pb2,
    executor_pb2,
    run_pb2,
)
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_foundation.rpc.modes import mode_text, to_mode
from qmtl_foundation.rpc.timestamps import to_datetime, to_timestamp
from qmtl_world.apply.machine import awaited
from qmtl_world.apply.model import Activation, ActivationSet, OnDemote, OnFreeze, RunTerms, state_hash
from qmtl_world.apply.place import EventKind, Gateway, Mark, MarkKind, Phase, Place, Told
from qmtl_world.apply.records import ApplyRecord, Enrolment, GatewayLease, RunRecord

# NATS takes 1 MiB with headers, in one piece; a row that it refuses would hold up the relay. The rest is for holds, ids
# and headers.
MAX_SET_BYTES: Final = 960 * 1024
_MOST: Final = 2**53  # of an epoch and a sequence

EVENT_KINDS: Final = {
    EventKind.FREEZE: activation_event_pb2.ACTIVATION_EVENT_KIND_FREEZE,
    EventKind.SWITCH: activation_event_pb2.ACTIVATION_EVENT_KIND_SWITCH,
    EventKind.UNFREEZE: activation_event_pb2.ACTIVATION_EVENT_KIND_UNFREEZE,
}
_MARK_KINDS: Final = {
    MarkKind.FENCE: mark_pb2.MARK_KIND_FENCE,
    MarkKind.OPEN: mark_pb2.MARK_KIND_OPEN,
}
_ON_FREEZE: Final = {OnFreeze.CANCEL: mark_pb2.ON_FREEZE_CANCEL, OnFreeze.LEAVE: mark_pb2.ON_FREEZE_LEAVE}
_ON_DEMOTE: Final = {
    OnDemote.FLATTEN: mark_pb2.ON_DEMOTE_FLATTEN,
    OnDemote.HOLD: mark_pb2.ON_DEMOTE_HOLD,
    OnDemote.HAND_OVER: mark_pb2.ON_DEMOTE_HAND_OVER,
}
_PHASES: Final = {
    Phase.QUEUED: run_pb2.RUN_PHASE_QUEUED,
    Phase.FREEZING: run_pb2.RUN_PHASE_FREEZING,
    Phase.SWITCHING: run_pb2.RUN_PHASE_SWITCHING,
    Phase.UNFREEZING: run_pb2.RUN_PHASE_UNFREEZING,
    Phase.REOPENING: run_pb2.RUN_PHASE_REOPENING,
    Phase.DRAINING: run_pb2.RUN_PHASE_DRAINING,
    Phase.COMPLETED: run_pb2.RUN_PHASE_COMPLETED,
    Phase.ROLLED_BACK: run_pb2.RUN_PHASE_ROLLED_BACK,
    Phase.ABORTED: run_pb2.RUN_PHASE_ABORTED,
}
# What an event told is what a participant acknowledges of it.
_TOLD: Final = {
    activation_event_pb2.ACTIVATION_EVENT_KIND_FREEZE: acknowledgement_pb2.APPLY_PHASE_FREEZE,
    activation_event_pb2.ACTIVATION_EVENT_KIND_SWITCH: acknowledgement_pb2.APPLY_PHASE_SWITCH,
    activation_event_pb2.ACTIVATION_EVENT_KIND_UNFREEZE: acknowledgement_pb2.APPLY_PHASE_UNFREEZE,
}


def to_activation(activation: Activation, activation_set: ActivationSet) -> activation_pb2.Activation:
    """Return the message of one strategy's place in a set."""
    return activation_pb2.Activation(
        strategy_id=activation.strategy_id,
        strategy_version=activation.strategy_version,
        active=True,
        weight=activation.weight,
        side=activation.side,
        mode=to_mode(activation.mode),
        dataset_fingerprint=activation.dataset_fingerprint,
        epoch=activation_set.epoch,
        sequence=activation_set.sequence,
        executor=activation.executor,
    )


def to_activation_set(activation_set: ActivationSet) -> activation_pb2.ActivationSet:
    """Return the message of an activation set."""
    return activation_pb2.ActivationSet(
        world=activation_set.world,
        activations=[to_activation(each, activation_set) for each in activation_set.activations],
        epoch=activation_set.epoch,
        sequence=activation_set.sequence,
        state_hash=activation_set.state_hash if activation_set.epoch else "",
        switch_time=to_timestamp(activation_set.switch_time) if activation_set.switch_time else None,
    )


def refuse_large_set(world: str, plan: Sequence[Activation]) -> None:
    """Raise TOO_LARGE for a set that would not fit into the one message by which it is told."""
    told = ActivationSet(world, tuple(plan), _MOST, _MOST, datetime.max.replace(tzinfo=UTC))
    size = to_activation_set(told).ByteSize()
    if size > MAX_SET_BYTES:
        mend = "let its policy select fewer, or spread them over several worlds"
        raise QmtlError(
            Reason.TOO_LARGE,
            f"plan: {len(plan)} strategies take {size} bytes in an event; the limit is {MAX_SET_BYTES}: {mend}",
            metadata={"field": "plan", "limit": str(MAX_SET_BYTES)},
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """Hold what every event and mark of a step carries."""

    event_id: str
    timeline: str
    now: datetime


def encode_event(
    told: Told, world: str, switch_time: datetime | None, holds: Iterable[str], previous: str, envelope: Envelope
) -> bytes:
    """Return the bytes of an activation event; ``previous`` is the hash of the one before."""
    told_set = ActivationSet(world, told.activations, told.epoch, told.sequence, switch_time)
    message = activation_event_pb2.ActivationEvent(
        event_id=envelope.event_id,
        world=world,
        sequence=told.sequence,
        epoch=told.epoch,
        kind=EVENT_KINDS[told.kind],
        activation_set=to_activation_set(told_set),
        previous_event_hash=previous,
        timeline_id=envelope.timeline,
        create_time=to_timestamp(envelope.now),
        run_id=told.run_id,
        holds=sorted(holds),
    )
    return message.SerializeToString(deterministic=True)


def encode_mark(mark: Mark, place: Place, switch_time: datetime | None, terms: RunTerms, envelope: Envelope) -> bytes:
    """Return the bytes of a mark; an Open carries the set of its epoch."""
    opened = ActivationSet(place.world, place.activations, mark.epoch, place.sequence, switch_time)
    message = mark_pb2.Mark(
        event_id=envelope.event_id,
        world=place.world,
        number=mark.number,
        kind=_MARK_KINDS[mark.kind],
        epoch=mark.epoch,
        activation_set=to_activation_set(opened) if mark.kind is MarkKind.OPEN else None,
        on_freeze=_ON_FREEZE[terms.on_freeze],
        on_demote=_ON_DEMOTE[terms.on_demote],
        timeline_id=envelope.timeline,
        create_time=to_timestamp(envelope.now),
        run_id="" if place.run is None else place.run.run_id,
        reseed_mark=place.reseed_mark,
    )
    return message.SerializeToString(deterministic=True)


def to_activation_answer(
    world: str, payload: bytes | None, event_hash: str, holds: Sequence[str]
) -> apply_service_pb2.GetActivationResponse:
    """Return the newest relayed event as a snapshot; without one, the set of a world of which nothing was told."""
    if payload is None:
        nothing = activation_pb2.ActivationSet(world=world)
        return apply_service_pb2.GetActivationResponse(activation_set=nothing, holds=holds)
    event = activation_event_pb2.ActivationEvent.FromString(payload)
    return apply_service_pb2.GetActivationResponse(
        activation_set=event.activation_set,
        holds=holds,
        phase=_TOLD.get(event.kind, acknowledgement_pb2.APPLY_PHASE_UNSPECIFIED),
        run_id=event.run_id,
        event_hash=event_hash,
        timeline_id=event.timeline_id,
    )


def to_run(
    record: RunRecord,
    place: Place,
    leases: Mapping[Gateway, GatewayLease],
    timeline: Sequence[ApplyRecord] = (),
) -> run_pb2.ApplyRun:
    """Return the message of a run; ``leases`` say until when gateways are waited for, and for whom they wait."""
    run = record.run
    is_present = place.run is not None and place.run.run_id == run.run_id and not run.is_terminal
    executors = awaited(place)[1] if is_present else ()
    planned = ActivationSet(record.world, run.plan, record.epoch)
    return run_pb2.ApplyRun(
        world=record.world,
        run_id=run.run_id,
        phase=_PHASES[run.phase],
        plan=[to_activation(each, planned) for each in run.plan],
        prior_state_hash=state_hash(run.prior),
        planned_state_hash=state_hash(run.plan),
        epoch=record.epoch,
        awaited=[
            *(_to_gateway(each, leases) for each in (sorted(run.awaited - run.acked) if is_present else ())),
            *(_to_executor(each) for each in executors),
        ],
        acknowledged=[
            *(_to_gateway(each, leases) for each in (sorted(run.acked) if is_present else ())),
            *(_to_executor(each) for each in (sorted(place.executors - set(executors)) if is_present else ())),
        ],
        unopened=run.unopened,
        clears_hold=run.clears,
        reason=run.reason,
        deadline=to_timestamp(run.deadline) if is_present else None,
        create_time=to_timestamp(record.create_time),
        end_time=to_timestamp(record.end_time) if record.end_time else None,
        timeline=[to_record(each) for each in timeline],
        holds=sorted(place.holds),
        revision=record.revision,
    )


def to_record(record: ApplyRecord) -> run_pb2.ApplyRecord:
    """Return the message of an entry of the audit timeline."""
    return run_pb2.ApplyRecord(
        event=record.event,
        actor=record.cause.actor,
        reason=record.cause.reason,
        epoch=record.epoch,
        sequence=record.sequence,
        create_time=to_timestamp(record.create_time),
    )


def to_enrolment(enrolment: Enrolment, place: Place) -> executor_pb2.Enrolment:
    """Return the message of an enrolment."""
    name = enrolment.executor
    return executor_pb2.Enrolment(
        world=enrolment.world,
        executor=name,
        mode=to_mode(enrolment.mode),
        mark=enrolment.mark,
        fenced_epoch=place.epoch if name in place.fenced else 0,
        is_open=name in place.opened,
        incarnation=enrolment.incarnation,
        renew_time=to_timestamp(enrolment.renew_time) if enrolment.renew_time else None,
        positions=[
            executor_pb2.ExecutorPosition(strategy_id=each.strategy_id, symbol=each.symbol, quantity=each.quantity)
            for each in enrolment.holdings
        ],
        create_time=to_timestamp(enrolment.create_time),
    )


def told_set(payload: bytes) -> ActivationSet:
    """Return the set that the event of stored bytes told of."""
    event = activation_event_pb2.ActivationEvent.FromString(payload)
    stated = event.activation_set
    return ActivationSet(
        event.world,
        tuple(_from_activation(each) for each in stated.activations),
        event.epoch,
        event.sequence,
        to_datetime(stated.switch_time) if stated.HasField("switch_time") else None,
    )


def _from_activation(message: activation_pb2.Activation) -> Activation:
    return Activation(
        strategy_id=message.strategy_id,
        strategy_version=message.strategy_version,
        weight=message.weight,
        side=message.side,
        mode=parse_mode(mode_text(message.mode)) or EffectiveMode.COMPUTE_ONLY,
        dataset_fingerprint=message.dataset_fingerprint,
        executor=message.executor,
    )


def _to_gateway(gateway: Gateway, leases: Mapping[Gateway, GatewayLease]) -> run_pb2.Participant:
    lease = leases.get(gateway)
    return run_pb2.Participant(
        kind=acknowledgement_pb2.PARTICIPANT_KIND_GATEWAY,
        name=gateway.name,
        incarnation=gateway.incarnation,
        lease_expire_time=to_timestamp(lease.until) if lease else None,
        waits_for=lease.waits_for if lease else (),
    )


def _to_executor(name: str) -> run_pb2.Participant:
    return run_pb2.Participant(kind=acknowledgement_pb2.PARTICIPANT_KIND_EXECUTOR, name=name)
