"""Requests of the apply service, checked: what they state as values of the domain, or the field that cannot be."""

from __future__ import annotations

import math
from typing import Final

from qmtl_foundation.errors import invalid_field, too_large
from qmtl_foundation.execution_domain import ORDER_MODES, EffectiveMode, parse_mode
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, apply_service_pb2, lease_pb2, run_pb2
from qmtl_foundation.requests import (
    REQUEST_ID,
    check_content_id,
    check_resource_name,
    check_strategy_id,
)
from qmtl_foundation.rpc.modes import mode_text
from qmtl_world.apply.participants import Held, Kind
from qmtl_world.apply.place import ASTRAY, OPERATOR, EventKind, Gateway, GatewayAcknowledged, MarkKind
from qmtl_world.apply.planning import Planned
from qmtl_world.apply.records import ROUND_RUN, Holding, MarkPassed

MAX_PLANNED: Final = 10_000
MAX_HELD: Final = 10_000
MAX_NUMBER: Final = 2**53  # of an epoch, event or mark: a world that is reseeded counts on from there
MAX_HOLDINGS: Final = 1_000
MAX_WAITED: Final = 20
MAX_GENERATION: Final = 64
WEIGHT_SLACK: Final = 1e-9  # of a sum of weights in binary

_PHASES: Final = {
    acknowledgement_pb2.APPLY_PHASE_FREEZE: EventKind.FREEZE,
    acknowledgement_pb2.APPLY_PHASE_SWITCH: EventKind.SWITCH,
    acknowledgement_pb2.APPLY_PHASE_UNFREEZE: EventKind.UNFREEZE,
}
_MARKS: Final = {EventKind.FREEZE: MarkKind.FENCE, EventKind.UNFREEZE: MarkKind.OPEN}
_KINDS: Final = {
    acknowledgement_pb2.PARTICIPANT_KIND_GATEWAY: Kind.GATEWAY,
    acknowledgement_pb2.PARTICIPANT_KIND_EXECUTOR: Kind.EXECUTOR,
}


def read_id(field: str, text: str) -> str:
    """Return a well-formed id of a run or an incarnation."""
    if not REQUEST_ID.fullmatch(text):
        raise invalid_field(field, "must be 1 to 64 characters of A-Z a-z 0-9 . _ -; a UUID will do")
    return text


def read_run_id(text: str) -> str:
    """Return a well-formed id of a run that somebody asks for; what rounds begin has ids of its own."""
    if text.startswith(ROUND_RUN):
        raise invalid_field("run_id", f"ids that begin with {ROUND_RUN!r} belong to the runs of rounds; take another")
    return read_id("run_id", text)


def read_own_hold(text: str) -> str:
    """Return the name of the hold of an emergency stop, "operator" when none is stated.

    One that keeps the relay still would keep the stop itself from being told.
    """
    if text == ASTRAY:
        raise invalid_field("hold", f"{ASTRAY!r} says that streams and database disagree; take another name")
    return check_resource_name("hold", text) if text else OPERATOR


def read_plan(plan: run_pb2.Plan) -> tuple[Planned, ...]:
    """Return what an operator plans."""
    if len(plan.activations) > MAX_PLANNED:
        raise too_large("plan.activations", len(plan.activations), MAX_PLANNED)
    planned = tuple(_planned(index, each) for index, each in enumerate(plan.activations))
    total = math.fsum(each.weight for each in planned)
    if total > 1.0 + WEIGHT_SLACK:
        raise invalid_field("plan.activations", f"weights sum to {total:.6g}; they may sum to at most 1")
    if len({each.strategy_id for each in planned}) < len(planned):
        raise invalid_field("plan.activations", "state each strategy once")
    return planned


def _planned(index: int, stated: run_pb2.PlannedActivation) -> Planned:
    field = f"plan.activations[{index}]"
    if not 0.0 < stated.weight <= 1.0:
        raise invalid_field(f"{field}.weight", f"{stated.weight} must be a fraction of the world's equity, (0, 1]")
    version = stated.strategy_version
    return Planned(
        check_strategy_id(stated.strategy_id),
        stated.weight,
        check_content_id(f"{field}.strategy_version", version) if version else "",
    )


def read_order_mode(number: int) -> EffectiveMode:
    """Return a mode that has orders."""
    mode = parse_mode(mode_text(number))
    if mode is None or mode not in ORDER_MODES:
        raise invalid_field("mode", f"{mode_text(number)} has no orders; state PAPER or LIVE")
    return mode


def read_lease(request: apply_service_pb2.RenewLeaseRequest) -> tuple[Kind, str, str, list[Held]]:
    """Return kind, name and start of a participant, and how far it is in its worlds."""
    kind = _KINDS.get(request.kind)
    if kind is None:
        raise invalid_field("kind", "state GATEWAY or EXECUTOR; a runner's lease is with its gateway")
    if len(request.worlds) > MAX_HELD:
        raise too_large("worlds", len(request.worlds), MAX_HELD)
    name = check_resource_name("participant", request.participant)
    held = [_held(each) for each in request.worlds]
    return kind, name, read_id("incarnation", request.incarnation), held


def _held(stated: lease_pb2.HeldPlace) -> Held:
    for field in ("epoch", "sequence", "mark", "position", "restored_mark"):
        number = getattr(stated, field)
        if not 0 <= number <= MAX_NUMBER:
            raise invalid_field(f"worlds.{field}", f"{number} must be within [0, {MAX_NUMBER}]")
    if len(stated.generation) > MAX_GENERATION or "\0" in stated.generation:
        raise invalid_field("worlds.generation", f"must have at most {MAX_GENERATION} characters, none of them NUL")
    if len(stated.positions) > MAX_HOLDINGS:
        raise too_large("worlds.positions", len(stated.positions), MAX_HOLDINGS)
    if len(stated.waits_for) > MAX_WAITED:
        raise too_large("worlds.waits_for", len(stated.waits_for), MAX_WAITED)
    holdings = tuple(Holding(each.strategy_id, each.symbol, each.quantity) for each in stated.positions)
    if not all(math.isfinite(each.quantity) for each in holdings):
        raise invalid_field("worlds.positions.quantity", "must be finite")
    return Held(
        check_resource_name("worlds.world", stated.world),
        stated.epoch,
        stated.sequence,
        stated.mark,
        stated.unsure,
        stated.position,
        holdings,
        stated.generation,
        tuple(check_strategy_id(each) for each in stated.waits_for),
        stated.restored_mark if stated.HasField("restored_mark") else None,
    )


def read_acknowledgement(message: acknowledgement_pb2.Acknowledgement) -> GatewayAcknowledged | MarkPassed:
    """Return what a gateway or an executor says that it did."""
    kind, phase = _KINDS.get(message.kind), _PHASES.get(message.phase)
    if kind is None:
        raise invalid_field("acknowledgement.kind", "state GATEWAY or EXECUTOR; a runner tells its gateway")
    if phase is None:
        raise invalid_field("acknowledgement.phase", "state FREEZE, SWITCH or UNFREEZE")
    name = check_resource_name("acknowledgement.participant", message.participant)
    incarnation = read_id("acknowledgement.incarnation", message.incarnation)
    if message.epoch < 1:
        raise invalid_field("acknowledgement.epoch", f"{message.epoch} must be at least 1")
    if kind is Kind.GATEWAY:
        gateway = Gateway(name, incarnation)
        return GatewayAcknowledged(gateway, message.run_id, phase, message.epoch, message.sequence)
    if phase not in _MARKS:
        raise invalid_field("acknowledgement.phase", "an executor acknowledges marks: FREEZE or UNFREEZE")
    if message.mark < 1:
        raise invalid_field("acknowledgement.mark", f"{message.mark} must be at least 1")
    return MarkPassed(name, incarnation, _MARKS[phase], message.epoch, message.mark, message.run_id[:64])
