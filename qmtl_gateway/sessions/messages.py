"""Events, leases and acknowledgements as messages of the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from qmtl_foundation.execution_domain import EffectiveMode, parse_mode
from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, activation_pb2, apply_service_pb2, lease_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import report_pb2
from qmtl_foundation.rpc.modes import mode_text
from qmtl_foundation.rpc.timestamps import to_datetime
from qmtl_gateway.sessions.model import Activation, Event, Gate, Identity, Phase, Report, WorldPlace

MAX_WAITED: Final = 20  # strategies named in a renewal, by contract

_KINDS: Final = {
    Phase.FREEZE: activation_event_pb2.ACTIVATION_EVENT_KIND_FREEZE,
    Phase.SWITCH: activation_event_pb2.ACTIVATION_EVENT_KIND_SWITCH,
    Phase.UNFREEZE: activation_event_pb2.ACTIVATION_EVENT_KIND_UNFREEZE,
}
_PHASES: Final = {
    Phase.FREEZE: acknowledgement_pb2.APPLY_PHASE_FREEZE,
    Phase.SWITCH: acknowledgement_pb2.APPLY_PHASE_SWITCH,
    Phase.UNFREEZE: acknowledgement_pb2.APPLY_PHASE_UNFREEZE,
}
_KINDS_BACK: Final = {int(number): phase for phase, number in _KINDS.items()}
_PHASES_BACK: Final = {int(number): phase for phase, number in _PHASES.items()}


def from_event(payload: bytes) -> Event:
    """Return an event of the control stream; raise ValueError for bytes that are none. A kind not known closes."""
    try:
        message = activation_event_pb2.ActivationEvent.FromString(payload)
    except DecodeError as error:
        raise ValueError("not an ActivationEvent") from error
    phase = _KINDS_BACK.get(message.kind, Phase.FREEZE)
    gate = Gate(
        world=message.world,
        epoch=message.epoch,
        sequence=message.sequence,
        phase=phase,
        run_id=message.run_id,
        holds=tuple(message.holds),
        activations=_activations(message.activation_set.activations),
        event_hash=bytes_id(EVENT_CONTEXT, payload),
        timeline_id=message.timeline_id,
    )
    return Event(gate, payload, message.previous_event_hash, to_datetime(message.create_time))


def from_snapshot(world: str, answer: apply_service_pb2.GetActivationResponse) -> Event:
    """Return the newest relayed event of a world as a snapshot; one of which nothing was ever told is closed."""
    told = answer.activation_set
    gate = Gate(
        world=world,
        epoch=told.epoch,
        sequence=told.sequence,
        phase=_PHASES_BACK.get(answer.phase, Phase.FREEZE),
        run_id=answer.run_id,
        holds=tuple(answer.holds),
        activations=_activations(told.activations),
        event_hash=answer.event_hash,
        timeline_id=answer.timeline_id,
    )
    message = activation_event_pb2.ActivationEvent(
        world=world,
        sequence=gate.sequence,
        epoch=gate.epoch,
        kind=_KINDS[gate.phase],
        activation_set=told,
        timeline_id=gate.timeline_id,
        run_id=gate.run_id,
        holds=gate.holds,
    )
    return Event(gate, message.SerializeToString())


def from_report(position: int, payload: bytes) -> Report:
    """Return a report of the reports' stream; raise ValueError for bytes that are none."""
    try:
        message = report_pb2.OrderReport.FromString(payload)
    except DecodeError as error:
        raise ValueError("not an OrderReport") from error
    return Report(position, message.world, message.strategy_id, payload)


def to_renewal(
    identity: Identity, gates: Iterable[Gate], waits_for: Callable[[Gate], Sequence[str]]
) -> apply_service_pb2.RenewLeaseRequest:
    """Return the request that renews a gateway's lease, says how far it is in each world, and whom it waits for."""
    return apply_service_pb2.RenewLeaseRequest(
        kind=acknowledgement_pb2.PARTICIPANT_KIND_GATEWAY,
        participant=identity.name,
        incarnation=identity.incarnation,
        worlds=[
            lease_pb2.HeldPlace(
                world=each.world, epoch=each.epoch, sequence=each.sequence, waits_for=waits_for(each)[:MAX_WAITED]
            )
            for each in gates
        ],
    )


def from_renewal(answer: apply_service_pb2.RenewLeaseResponse) -> tuple[float, list[WorldPlace]]:
    """Return for how many seconds the lease lasts, and where worlds stand."""
    places = [WorldPlace(each.world, each.epoch, each.sequence, each.is_open) for each in answer.worlds]
    return answer.ttl_ms / 1000, places


def to_acknowledgement(identity: Identity, gate: Gate) -> apply_service_pb2.AcknowledgeActivationRequest:
    """Return the request that says that a gateway did its part of an event."""
    return apply_service_pb2.AcknowledgeActivationRequest(
        acknowledgement=acknowledgement_pb2.Acknowledgement(
            world=gate.world,
            epoch=gate.epoch,
            run_id=gate.run_id,
            phase=_PHASES[gate.phase],
            sequence=gate.sequence,
            participant=identity.name,
            kind=acknowledgement_pb2.PARTICIPANT_KIND_GATEWAY,
            incarnation=identity.incarnation,
        )
    )


def phase_of(number: int) -> Phase | None:
    """Return the phase that an acknowledgement states, None when it states none."""
    return _PHASES_BACK.get(number)


def _activations(stated: Iterable[activation_pb2.Activation]) -> dict[str, Activation]:
    return {
        each.strategy_id: Activation(
            strategy_id=each.strategy_id,
            strategy_version=each.strategy_version,
            side=each.side,
            mode=parse_mode(mode_text(each.mode)) or EffectiveMode.COMPUTE_ONLY,
            executor=each.executor,
        )
        for each in stated
        if each.active
    }
