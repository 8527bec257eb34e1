"""Marks, intents and reports as messages of the contract, and places as rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import DecodeError

from qmtl_executor.model import (
    Content,
    Intent,
    Line,
    Mark,
    MarkKind,
    OnDemote,
    OnFreeze,
    Outcome,
    Passed,
    Place,
    Purged,
    Report,
    Seat,
    Told,
    Unreadable,
)
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.execution_domain import EffectiveMode, parse_mode
from qmtl_foundation.identity import intent_id
from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, activation_pb2, executor_pb2, lease_pb2
from qmtl_foundation.pb.qmtl.order.v1 import intent_pb2, mark_pb2, report_pb2
from qmtl_foundation.rpc.modes import mode_text
from qmtl_foundation.rpc.timestamps import to_datetime, to_timestamp

MAX_POSITIONS: Final = 1_000  # of one renewal, by contract

_KINDS: Final = {mark_pb2.MARK_KIND_FENCE: MarkKind.FENCE, mark_pb2.MARK_KIND_OPEN: MarkKind.OPEN}
_ON_FREEZE: Final = {mark_pb2.ON_FREEZE_LEAVE: OnFreeze.LEAVE}
_ON_DEMOTE: Final = {
    mark_pb2.ON_DEMOTE_HOLD: OnDemote.HOLD,
    mark_pb2.ON_DEMOTE_HAND_OVER: OnDemote.HAND_OVER,
}
_OUTCOMES: Final = {
    Outcome.WORKING: report_pb2.ORDER_OUTCOME_WORKING,
    Outcome.FILLED: report_pb2.ORDER_OUTCOME_FILLED,
    Outcome.UNCHANGED: report_pb2.ORDER_OUTCOME_UNCHANGED,
    Outcome.FENCED: report_pb2.ORDER_OUTCOME_FENCED,
    Outcome.REFUSED: report_pb2.ORDER_OUTCOME_REFUSED,
    Outcome.CANCELLED: report_pb2.ORDER_OUTCOME_CANCELLED,
}
_PHASES: Final = {
    MarkKind.FENCE: acknowledgement_pb2.APPLY_PHASE_FREEZE,
    MarkKind.OPEN: acknowledgement_pb2.APPLY_PHASE_UNFREEZE,
}


def read_mark(payload: bytes, world: str) -> Content:
    """Return the mark of a message on a world's subject of marks."""
    try:
        message = mark_pb2.Mark.FromString(payload)
    except DecodeError as error:
        return Unreadable(True, f"no mark: {error}")
    if message.world != world or message.kind not in _KINDS:
        return Unreadable(True, f"a mark of world {message.world!r} and kind {message.kind}")
    return Mark(
        number=message.number,
        kind=_KINDS[message.kind],
        epoch=message.epoch,
        timeline=message.timeline_id,
        run_id=message.run_id,
        on_freeze=_ON_FREEZE.get(message.on_freeze, OnFreeze.CANCEL),
        on_demote=_ON_DEMOTE.get(message.on_demote, OnDemote.FLATTEN),
        seats={each.strategy_id: _seat(each) for each in message.activation_set.activations if each.active},
        reseed_mark=message.reseed_mark,
    )


def read_intent(payload: bytes, world: str) -> Content:
    """Return the intent of a message on one of a world's subjects of intents."""
    try:
        message = intent_pb2.OrderIntent.FromString(payload)
        bar_time = to_datetime(message.bar_time, "bar_time")
    except (DecodeError, QmtlError) as error:
        return Unreadable(False, f"no intent: {error}")
    if message.world != world:
        return Unreadable(False, f"an intent {message.intent_id[:80]!r} of world {message.world[:80]!r}")
    own = intent_id(world, message.strategy_id, bar_time, message.symbol)
    if message.intent_id != own:
        return Unreadable(False, f"an intent {message.intent_id[:80]!r} whose strategy, bar and symbol make {own}")
    if "\0" in "".join((message.strategy_id, message.symbol, message.executor, message.strategy_version, message.side)):
        return Unreadable(False, f"intent {own}: a text with a NUL, which no database takes")
    return Intent(
        intent_id=message.intent_id,
        world=message.world,
        strategy_id=message.strategy_id,
        symbol=message.symbol,
        target=message.target,
        bar_time=bar_time,
        epoch=message.epoch,
        executor=message.executor,
        version=message.strategy_version,
        side=message.side,
        mode=_mode(message.mode),
    )


def encode_report(report: Report, world: str, executor: str, now: datetime) -> bytes:
    """Return the bytes of a report."""
    message = report_pb2.OrderReport(
        report_id=report.report_id(executor),
        world=world,
        strategy_id=report.strategy_id,
        intent_id=report.intent_id,
        epoch=report.epoch,
        executor=executor,
        outcome=_OUTCOMES[report.outcome],
        reason=report.reason,
        message=report.message,
        symbol=report.symbol,
        quantity=report.quantity,
        price=report.price,
        fee=report.fee,
        position=report.position,
        create_time=to_timestamp(now),
    )
    return message.SerializeToString(deterministic=True)


def to_held_place(world: str, place: Place, lines: Sequence[Line], told_epoch: int) -> lease_pb2.HeldPlace:
    """Return how far an executor is in a world; ``told_epoch`` is the newest that it was told of."""
    positions = [
        executor_pb2.ExecutorPosition(strategy_id=each.strategy_id, symbol=each.symbol, quantity=each.quantity)
        for each in lines
        if each.quantity != 0.0
    ]
    return lease_pb2.HeldPlace(
        world=world,
        epoch=max(place.fence, told_epoch),
        mark=place.mark,
        unsure=place.unsure,
        restored_mark=place.restored_mark,
        positions=positions[:MAX_POSITIONS],
        position=max(place.position, 0),
        generation=place.generation,
    )


def from_world_place(message: lease_pb2.WorldPlace) -> Told:
    """Return where a world stands."""
    return Told(
        message.epoch,
        message.is_open,
        message.enrolment,
        message.enrolment_position,
        Purged(message.purge_generation, message.purge_position),
    )


def to_acknowledgement(
    passed: Passed, world: str, executor: str, incarnation: str
) -> acknowledgement_pb2.Acknowledgement:
    """Return what says that a mark was passed."""
    return acknowledgement_pb2.Acknowledgement(
        world=world,
        epoch=passed.epoch,
        run_id=passed.run_id,
        phase=_PHASES[passed.kind],
        participant=executor,
        kind=acknowledgement_pb2.PARTICIPANT_KIND_EXECUTOR,
        incarnation=incarnation,
        mark=passed.number,
    )


def encode_seats(seats: Mapping[str, Seat]) -> str:
    """Return a set as stored."""
    rows = [
        [each.strategy_id, each.version, each.side, each.mode and each.mode.value, each.weight, each.executor]
        for each in seats.values()
    ]
    return json.dumps(rows)


def decode_seats(text: str) -> dict[str, Seat]:
    """Return a stored set."""
    seats = (
        Seat(strategy_id, version, side, mode and EffectiveMode(mode), weight, executor)
        for strategy_id, version, side, mode, weight, executor in json.loads(text)
    )
    return {each.strategy_id: each for each in seats}


def encode_passed(passed: Passed) -> str:
    """Return the newest mark passed, as stored."""
    return json.dumps([passed.number, passed.kind.value, passed.epoch, passed.run_id])


def decode_passed(text: str | None) -> Passed | None:
    """Return the newest mark passed, None for none."""
    if text is None:
        return None
    number, kind, epoch, run_id = json.loads(text)
    return Passed(number, MarkKind(kind), epoch, run_id)


def decode_place(row: Mapping[str, Any]) -> Place:
    """Return a stored place."""
    return Place(
        enrolment=row["enrolment"],
        position=row["position"],
        mark=row["mark"],
        fence=row["fence"],
        is_open=row["is_open"],
        unsure=row["unsure"],
        restored_mark=row["restored_mark"],
        timeline=row["timeline"],
        generation=row["generation"],
        seats=decode_seats(row["seats"]),
    )


def _seat(message: activation_pb2.Activation) -> Seat:
    return Seat(
        strategy_id=message.strategy_id,
        version=message.strategy_version,
        side=message.side,
        mode=_mode(message.mode),
        weight=message.weight,
        executor=message.executor,
    )


def _mode(number: int) -> EffectiveMode | None:
    """Return a mode, None for one that this release does not know: nothing has it."""
    return parse_mode(mode_text(number))
