"""Between the contract's messages and what a runner knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qmtl_foundation.execution_domain import EffectiveMode as Mode
from qmtl_sdk._pb.qmtl.apply.v1 import Acknowledgement, ApplyPhase, ParticipantKind
from qmtl_sdk._pb.qmtl.common.v1 import EffectiveMode
from qmtl_sdk._pb.qmtl.control.v1 import ActivationEvent, ActivationEventKind, DeliveredReport
from qmtl_sdk._pb.qmtl.order.v1 import OrderIntent, OrderOutcome, OrderReport, PublishIntentsRequest
from qmtl_sdk.session.model import Outcome, Phase, Report, Runner, Seat, Stamp, Told, Wish

_PHASES: Final = {
    ActivationEventKind.FREEZE: Phase.FREEZE,
    ActivationEventKind.SWITCH: Phase.SWITCH,
    ActivationEventKind.UNFREEZE: Phase.UNFREEZE,
}
_ACKNOWLEDGED: Final = {
    Phase.FREEZE: ApplyPhase.FREEZE,
    Phase.SWITCH: ApplyPhase.SWITCH,
    Phase.UNFREEZE: ApplyPhase.UNFREEZE,
}
_MODES: Final = {
    EffectiveMode.VALIDATE: Mode.VALIDATE,
    EffectiveMode.PAPER: Mode.PAPER,
    EffectiveMode.LIVE: Mode.LIVE,
    EffectiveMode.SHADOW: Mode.SHADOW,
}
_MODE_MESSAGES: Final = {mode: message for message, mode in _MODES.items()}
_OUTCOMES: Final = {
    OrderOutcome.WORKING: Outcome.WORKING,
    OrderOutcome.FILLED: Outcome.FILLED,
    OrderOutcome.UNCHANGED: Outcome.UNCHANGED,
    OrderOutcome.FENCED: Outcome.FENCED,
    OrderOutcome.REFUSED: Outcome.REFUSED,
    OrderOutcome.CANCELLED: Outcome.CANCELLED,
}


def to_told(event: ActivationEvent) -> Told:
    """Return what an event tells; a kind that is not known closes, a mode that is not known has no orders."""
    stated = event.activation_set.activations if event.activation_set is not None else ()
    seats = {
        each.strategy_id: Seat(
            strategy_version=each.strategy_version,
            side=each.side,
            mode=_MODES.get(each.mode, Mode.COMPUTE_ONLY),
            executor=each.executor,
        )
        for each in stated
        if each.active
    }
    phase = _PHASES.get(event.kind, Phase.UNKNOWN)
    return Told(phase, event.epoch, event.sequence, event.run_id, tuple(event.holds), seats)


def to_acknowledgement(runner: Runner, told: Told) -> Acknowledgement:
    """Return what says that an event was applied."""
    return Acknowledgement(
        world=runner.world,
        epoch=told.epoch,
        run_id=told.run_id,
        phase=_ACKNOWLEDGED[told.phase],
        sequence=told.sequence,
        participant=runner.strategy_id,
        kind=ParticipantKind.RUNNER,
        incarnation=runner.incarnation,
    )


def to_report(delivered: DeliveredReport) -> Report:
    """Return what came of an intent; an outcome that is not known is taken for a refusal, which nothing stands on."""
    report = delivered.report or OrderReport()
    return Report(
        position=delivered.position,
        intent_id=report.intent_id,
        epoch=report.epoch,
        outcome=_OUTCOMES.get(report.outcome, Outcome.REFUSED),
        reason=report.reason,
        message=report.message,
    )


def to_publish(runner: Runner, stamp: Stamp, wishes: Sequence[Wish], *, live_consent: bool) -> PublishIntentsRequest:
    """Return the request that publishes wishes under one stamp."""
    seat = stamp.seat
    intents = [
        OrderIntent(
            intent_id=wish.intent_id,
            world=runner.world,
            strategy_id=runner.strategy_id,
            symbol=wish.symbol,
            target=wish.target,
            bar_time=wish.bar_time,
            epoch=stamp.epoch,
            executor=seat.executor,
            strategy_version=seat.strategy_version,
            side=seat.side,
            mode=_MODE_MESSAGES[seat.mode],
        )
        for wish in wishes
    ]
    return PublishIntentsRequest(intents=intents, live_consent=live_consent)
