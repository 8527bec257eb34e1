"""The audit timeline of a step: what was asked for, what was told, and how a run ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from qmtl_world.apply.model import Activation, state_hash
from qmtl_world.apply.place import (
    Deregister,
    Effect,
    Enrol,
    Event,
    EventKind,
    Phase,
    Place,
    Reseed,
    Start,
    Stop,
    Told,
)
from qmtl_world.apply.records import PROTOCOL, ApplyRecord
from qmtl_world.audit.model import Cause, stating

_ASKED = {Start: "requested", Stop: "stopped", Reseed: "reseeded", Enrol: "enrolled", Deregister: "deregistered"}
_TRADED = frozenset({EventKind.SWITCH, EventKind.UNFREEZE})  # events that say what may trade from then on
_BACK = frozenset({Phase.REOPENING, Phase.DRAINING, Phase.ROLLED_BACK})


def records(
    before: Place, after: Place, event: Event, effects: Sequence[Effect], cause: Cause, now: datetime
) -> list[ApplyRecord]:
    """Return what a step adds to a world's timeline, in order."""
    concerned = after.running is not None or before.running is not None or after.run != before.run
    run_id = after.run.run_id if after.run is not None and concerned else ""
    at = ApplyRecord(after.world, run_id, "", PROTOCOL, after.epoch, after.sequence, now)
    return [*_asked(before, after, event, cause, at), *_told(effects, at), *_ended(before, after, at)]


def asked_for(event: Event) -> str:
    """Return what an event asks for, in one line."""
    match event:
        case Start():
            return planned(event.clears, event.plan or ())
        case Stop(hold=hold):
            return stating({"hold": hold})
        case Enrol(executor=executor, mode=mode):
            return stating({"executor": executor, "mode": mode.value})
        case Deregister(executor=executor):
            return stating({"executor": executor})
        case _:
            return ""


def planned(clears: str, plan: Sequence[Activation]) -> str:
    """Return what a run is for, in one line: the hold that it ends, else the set that it puts in."""
    return stating({"ends_hold": clears}) if clears else _set(plan)


def _set(activations: Sequence[Activation]) -> str:
    return stating({"state_hash": state_hash(activations)})


def _asked(before: Place, after: Place, event: Event, cause: Cause, at: ApplyRecord) -> Iterator[ApplyRecord]:
    name = _ASKED.get(type(event))
    if name is not None:
        yield replace(at, event=name, cause=cause, sequence=before.sequence, detail=asked_for(event))
    began = before.running is not None and before.running.phase not in _BACK
    if began and after.run is not None and after.run.phase in _BACK:
        why = cause if cause != PROTOCOL else Cause(reason=after.run.reason)
        yield replace(at, event="rollback", cause=why, sequence=before.sequence)


def _told(effects: Sequence[Effect], at: ApplyRecord) -> Iterator[ApplyRecord]:
    for each in effects:
        if isinstance(each, Told):
            traded = _set(each.activations) if each.kind in _TRADED else ""
            event = EventKind(each.kind).value
            yield replace(at, event=event, epoch=each.epoch, sequence=each.sequence, detail=traded)


def _ended(before: Place, after: Place, at: ApplyRecord) -> Iterator[ApplyRecord]:
    run = after.run
    was_over = before.run is not None and run is not None and before.run.run_id == run.run_id and before.run.is_terminal
    if run is not None and run.is_terminal and not was_over:
        yield replace(at, run_id=run.run_id, event=run.phase.value, cause=Cause(reason=run.reason))
