"""The apply protocol of one world as a pure function: ``step(place, event, now) -> (place, effects)``.

Every step is stored as one transaction, its effects as outbox rows behind those of earlier steps.

1. Start: epoch + 1, Fence, FREEZE. Awaits every enrolled executor (fenced) and every gateway of that moment.
2. FREEZING, all there: the set changes, SWITCH. Awaits the gateways, whose gates stay closed.
3. SWITCHING, all there: Open, UNFREEZE; none of it while a hold stands. Awaits gateways and executors (opened).
4. UNFREEZING, all there or its time over: COMPLETED; whoever did not answer stays closed, and is named.

A rollback takes an epoch of its own, with a Fence of its own. Out of FREEZING nothing had changed: open again. Out of
SWITCHING the prior set is restored first. Out of UNFREEZING orders may stand in the stream: the new Fence must be
drained before the set is restored, and the world stays held; one that is not drained in time keeps its set, held.

A stop is refused by nothing and waits for nobody: epoch + 1, Fence, FREEZE and a hold, whatever goes on.
Gateways are only waited for while their lease lasts; executors always, for they hold what may still be executed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import Activation
from qmtl_world.apply.place import (
    ASTRAY,
    RESEEDED,
    ROLLED_BACK_HOLD,
    SWITCH_FAILED,
    UNDRAINED,
    Deregister,
    Effect,
    Enrol,
    Event,
    EventKind,
    ExecutorAcknowledged,
    ExecutorClosed,
    GatewayAcknowledged,
    GatewayLost,
    Mark,
    MarkKind,
    Phase,
    Place,
    Reseed,
    RollBack,
    Run,
    Start,
    Stop,
    SwitchFailed,
    TimePassed,
    Told,
    names,
)
from qmtl_world.apply.refusals import (
    foreign_acknowledgement,
    refuse_deregistration,
    refuse_reseed,
    refuse_rollback,
    refuse_start,
    refuse_while_running,
)

REPEAT_AFTER: Final = timedelta(seconds=1)  # while a run waits for it
REMIND_AFTER: Final = timedelta(seconds=30)  # at rest: an executor that is away must not fill the stream

# What a gateway acknowledges in a phase.
_ACKNOWLEDGED: Final = {
    Phase.FREEZING: EventKind.FREEZE,
    Phase.SWITCHING: EventKind.SWITCH,
    Phase.UNFREEZING: EventKind.UNFREEZE,
    Phase.REOPENING: EventKind.UNFREEZE,
    Phase.DRAINING: EventKind.FREEZE,
}


def step(place: Place, event: Event, now: datetime) -> tuple[Place, tuple[Effect, ...]]:
    """Return where a world stands after an event, and what it tells.

    Raises QmtlError, and nothing has changed: RUN_IN_PROGRESS, WORLD_HELD, HOLD_NOT_FOUND, STALE_ETAG,
    LIVE_NOT_ALLOWED, NO_EXECUTOR for a start, RUN_NOT_REVERSIBLE for a rollback, ACKNOWLEDGEMENT_MISMATCH for what is
    not awaited.
    """
    draft = _Draft(place, now)
    _ON[type(event)](draft, event)
    _advance(draft)
    return draft.place, tuple(draft.effects)


def next_due(place: Place) -> datetime | None:
    """Return when ``TimePassed`` will change something, None while nothing is awaited."""
    due = [] if place.is_settled or place.repeat_at is None else [place.repeat_at]
    if place.running is not None:
        due.append(place.running.deadline)
    return min(due, default=None)


def awaited(place: Place) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the gateways and the executors that the run waits for."""
    run = place.running
    if run is None:
        return (), ()
    gateways = names(run.awaited - run.acked)
    if run.phase is Phase.SWITCHING:
        return gateways, ()
    there = place.opened if run.phase in (Phase.UNFREEZING, Phase.REOPENING) else place.fenced
    return gateways, tuple(sorted(place.executors - there))


class _Draft:
    """Hold a world while one step changes it."""

    def __init__(self, place: Place, now: datetime) -> None:
        self.place = place
        self.now = now
        self.effects: list[Effect] = []

    @property
    def run(self) -> Run:
        assert self.place.run is not None  # noqa: S101  # asked for in the phases of a run only
        return self.place.run

    def change(self, **changes: Any) -> None:
        self.place = replace(self.place, **changes)

    def change_run(self, **changes: Any) -> None:
        self.change(run=replace(self.run, **changes))

    def mark(self, kind: MarkKind) -> None:
        patience = REPEAT_AFTER if self.place.running is not None else REMIND_AFTER
        self.change(mark=self.place.mark + 1, repeat_at=self.now + patience)
        self.effects.append(Mark(self.place.mark, kind, self.place.epoch))

    def tell(self, kind: EventKind) -> None:
        place = self.place
        self.change(sequence=place.sequence + 1)
        run_id = self.run.run_id if place.running is not None else ""
        self.effects.append(Told(place.sequence + 1, kind, place.epoch, run_id, place.activations))

    def fence(self) -> None:
        """Take the next epoch; what comes before its Fence and was not handed over never is."""
        self.change(epoch=self.place.epoch + 1, is_open=False, fenced=frozenset(), opened=frozenset())
        self.mark(MarkKind.FENCE)

    def open(self) -> None:
        """Open this epoch: first the mark, then the event, so that no order comes before its Open."""
        self.change(is_open=True)
        self.mark(MarkKind.OPEN)
        self.tell(EventKind.UNFREEZE)

    def enter(self, phase: Phase, patience: timedelta) -> None:
        """Wait for the newest event to be acknowledged."""
        self.change_run(phase=phase, sequence=self.place.sequence, acked=frozenset(), deadline=self.now + patience)

    def end(self, phase: Phase, reason: str = "") -> None:
        gateways, executors = awaited(self.place)
        unopened = (*gateways, *executors) if self.place.is_open else ()
        self.change_run(phase=phase, unopened=unopened, reason=reason or self.run.reason)

    def hold(self, *holds: str) -> None:
        self.change(holds=self.place.holds.union(holds))

    def restore(self) -> None:
        """Put the prior set and its holds back; a mode is never raised above what the world allows today."""
        self.change(activations=_capped(self.run.prior, allow_live=self.place.allow_live))
        self.hold(*self.run.prior_holds)
        self.tell(EventKind.SWITCH)


# ---- Runs forward


def _start(draft: _Draft, event: Start) -> None:
    place = draft.place
    plan = event.plan
    if plan is None:
        plan = _capped(place.activations, allow_live=place.allow_live)
    refuse_start(place, event, plan)
    run = Run(
        run_id=event.run_id,
        phase=Phase.FREEZING,
        plan=plan,
        prior=place.activations,
        prior_holds=place.holds,
        timeouts=event.timeouts,
        deadline=draft.now,
        awaited=event.gateways,
        clears=event.clears,
    )
    draft.change(run=run)
    draft.fence()
    draft.tell(EventKind.FREEZE)
    draft.enter(Phase.FREEZING, event.timeouts.freeze)


def _advance(draft: _Draft) -> None:
    """Go on, phase by phase, while nobody is awaited."""
    while draft.place.running is not None and not any(awaited(draft.place)):
        {
            Phase.FREEZING: _switch,
            Phase.SWITCHING: _unfreeze,
            Phase.UNFREEZING: lambda draft: draft.end(Phase.COMPLETED),
            Phase.REOPENING: lambda draft: draft.end(Phase.ROLLED_BACK),
            Phase.DRAINING: _drained,
        }[draft.run.phase](draft)


def _switch(draft: _Draft) -> None:
    allowed = _capped(draft.run.plan, allow_live=draft.place.allow_live)
    draft.change(activations=allowed, holds=draft.place.holds - {draft.run.clears})
    draft.tell(EventKind.SWITCH)
    draft.enter(Phase.SWITCHING, draft.run.timeouts.switch)


def _unfreeze(draft: _Draft) -> None:
    if draft.place.holds:
        draft.end(Phase.COMPLETED)
        return
    draft.open()
    draft.enter(Phase.UNFREEZING, draft.run.timeouts.unfreeze)


# ---- Runs back


def _roll_back(draft: _Draft, reason: str, *holds: str) -> None:
    draft.change_run(reason=reason)
    draft.hold(*holds)
    draft.fence()
    if draft.run.phase is Phase.SWITCHING:
        draft.restore()
    if draft.place.holds:
        draft.tell(EventKind.FREEZE)
        draft.end(Phase.ROLLED_BACK)
        return
    draft.open()
    draft.enter(Phase.REOPENING, draft.run.timeouts.rollback)


def _drain(draft: _Draft, event: RollBack) -> None:
    """Fence what opened. A gateway that came back since the start may be open too, so today's are awaited."""
    draft.change_run(reason=event.reason, awaited=event.gateways)
    draft.fence()
    draft.tell(EventKind.FREEZE)
    draft.enter(Phase.DRAINING, draft.run.timeouts.rollback)


def _drained(draft: _Draft) -> None:
    draft.hold(ROLLED_BACK_HOLD)
    draft.restore()
    draft.end(Phase.ROLLED_BACK)


def _stop(draft: _Draft, event: Stop) -> None:
    draft.hold(event.hold)
    draft.fence()
    draft.tell(EventKind.FREEZE)
    if draft.place.running is None:
        return
    match draft.run.phase:
        case Phase.FREEZING | Phase.REOPENING:
            draft.end(Phase.ROLLED_BACK, event.reason)
        case Phase.SWITCHING:
            draft.restore()
            draft.end(Phase.ROLLED_BACK, event.reason)
        case Phase.UNFREEZING:  # what opened may be in the stream: it is not restored, but held
            draft.end(Phase.COMPLETED, event.reason)
        case _:  # DRAINING goes on, behind the newer fence
            draft.change_run(sequence=draft.place.sequence, acked=frozenset())


def _reseed(draft: _Draft, event: Reseed) -> None:
    refuse_reseed(draft.place)
    place = draft.place
    draft.change(
        epoch=max(place.epoch, event.epoch),
        sequence=max(place.sequence, event.sequence),
        mark=max(place.mark, event.mark),
        reseed_mark=max(place.mark, event.mark) + 1,
        holds=place.holds - {ASTRAY} | {RESEEDED},
    )
    draft.fence()
    draft.tell(EventKind.FREEZE)


# ---- Participants and time


def _gateway_acknowledged(draft: _Draft, event: GatewayAcknowledged) -> None:
    place = draft.place
    run = place.running
    if run is None or event.run_id != run.run_id:
        raise foreign_acknowledgement("run_id", event.run_id, "none" if run is None else run.run_id)
    stated = {"epoch": event.epoch, "phase": event.phase.value, "sequence": event.sequence}
    wanted = {"epoch": place.epoch, "phase": _ACKNOWLEDGED[run.phase].value, "sequence": run.sequence}
    for name, value in stated.items():
        if value != wanted[name]:
            raise foreign_acknowledgement(name, value, wanted[name])
    if event.gateway not in run.awaited:
        raise foreign_acknowledgement(
            "incarnation", event.gateway.incarnation, "of a gateway whose lease held since the freeze"
        )
    draft.change_run(acked=run.acked | {event.gateway})


def _executor_acknowledged(draft: _Draft, event: ExecutorAcknowledged) -> None:
    place = draft.place
    if event.executor not in place.executors:
        raise foreign_acknowledgement(
            "executor", event.executor, ", ".join(sorted(place.executors)) or "none is enrolled"
        )
    if event.epoch != place.epoch:
        raise foreign_acknowledgement("epoch", event.epoch, place.epoch)
    if event.kind is MarkKind.FENCE:
        draft.change(fenced=place.fenced | {event.executor})
    elif place.is_open:
        draft.change(opened=place.opened | {event.executor}, fenced=place.fenced | {event.executor})
    else:
        raise foreign_acknowledgement("mark", event.kind.value, MarkKind.FENCE.value)


def _executor_closed(draft: _Draft, event: ExecutorClosed) -> None:
    place, gone = draft.place, {event.executor}
    if event.executor in place.fenced:
        draft.change(fenced=place.fenced - gone, opened=place.opened - gone)
        _repeat_marks(draft)


def _gateway_lost(draft: _Draft, event: GatewayLost) -> None:
    if draft.place.running is not None:
        draft.change_run(awaited=draft.run.awaited - {event.gateway})


def _time_passed(draft: _Draft, _event: TimePassed) -> None:
    place = draft.place
    if place.running is not None and draft.now >= draft.run.deadline:
        _time_out(draft)
    place = draft.place
    if not draft.effects and not place.is_settled and place.repeat_at is not None and draft.now >= place.repeat_at:
        _repeat_marks(draft)


def _repeat_marks(draft: _Draft) -> None:
    """Write the marks of this epoch again: they act only on executors that have not seen them."""
    draft.mark(MarkKind.FENCE)
    if draft.place.is_open:
        draft.mark(MarkKind.OPEN)


def _time_out(draft: _Draft) -> None:
    gateways, executors = awaited(draft.place)
    reason = f"{draft.run.phase.value}: no acknowledgement of {', '.join((*gateways, *executors))} in time"
    match draft.run.phase:
        case Phase.FREEZING:
            _roll_back(draft, reason)
        case Phase.SWITCHING:
            _roll_back(draft, reason, SWITCH_FAILED)
        case Phase.UNFREEZING:
            draft.end(Phase.COMPLETED, reason)
        case Phase.REOPENING:
            draft.end(Phase.ROLLED_BACK, reason)
        case _:  # DRAINING: what may still be executed belongs to the new set, so that stays, and the world is held
            draft.hold(UNDRAINED)
            draft.end(Phase.COMPLETED, reason)


def _switch_failed(draft: _Draft, event: SwitchFailed) -> None:
    refuse_rollback(draft.place, event.run_id, Phase.FREEZING)
    _roll_back(draft, event.reason, SWITCH_FAILED)


def _asked_back(draft: _Draft, event: RollBack) -> None:
    refuse_rollback(draft.place, event.run_id, Phase.FREEZING, Phase.SWITCHING, Phase.UNFREEZING)
    if draft.run.phase is Phase.UNFREEZING:
        _drain(draft, event)
    else:
        _roll_back(draft, event.reason)


def _enrol(draft: _Draft, event: Enrol) -> None:
    refuse_while_running(draft.place)
    draft.change(executors=draft.place.executors | {event.executor})
    if draft.place.epoch == 0:
        draft.fence()
    else:
        _repeat_marks(draft)


def _deregister(draft: _Draft, event: Deregister) -> None:
    refuse_deregistration(draft.place, event.executor)
    gone = {event.executor}
    place = draft.place
    draft.change(executors=place.executors - gone, fenced=place.fenced - gone, opened=place.opened - gone)


_ON: Final[dict[type, Callable[[_Draft, Any], None]]] = {
    Start: _start,
    GatewayAcknowledged: _gateway_acknowledged,
    ExecutorAcknowledged: _executor_acknowledged,
    ExecutorClosed: _executor_closed,
    GatewayLost: _gateway_lost,
    TimePassed: _time_passed,
    SwitchFailed: _switch_failed,
    RollBack: _asked_back,
    Stop: _stop,
    Reseed: _reseed,
    Enrol: _enrol,
    Deregister: _deregister,
}


def _capped(activations: tuple[Activation, ...], *, allow_live: bool) -> tuple[Activation, ...]:
    """Return the set with no mode above what the world allows now; it may have changed its mind since the plan."""
    if allow_live:
        return activations
    return tuple(
        replace(each, mode=EffectiveMode.COMPUTE_ONLY, executor="") if each.mode is EffectiveMode.LIVE else each
        for each in activations
    )
