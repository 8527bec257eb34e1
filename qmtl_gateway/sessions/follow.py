"""The rules of following one world's events (S5). Pure.

- Event n + 1 is applied after event n, if it names n as its predecessor and was written on the same timeline; older
  ones are dropped. A gap, another predecessor or another timeline closes the gate.
- Once closed, only a snapshot helps: it replaces what is held unless it is older, or another event of the same number.
  Of the events that come meanwhile the newest is kept, and applied after the snapshot if it follows.
- A lease renewal that shows the world ahead closes too, until that epoch and sequence are reached; it never opens.
- One that shows the world behind what was stated when it was asked for closes as well: the database was restored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from qmtl_gateway.sessions.model import Event, Gate, WorldPlace


class Resync(StrEnum):
    """Say why a gate is closed until a snapshot was read."""

    UNKNOWN = "unknown"  # the world was not known before
    GAP = "gap"
    HASH = "hash"
    TIMELINE = "timeline"
    BEHIND = "behind"
    LEASE = "lease"
    STREAM = "stream"  # the consumer of the control stream was lost
    ASTRAY = "astray"  # the world service is behind: until it was reseeded, no snapshot suffices


@dataclass(frozen=True, slots=True)
class Followed:
    """Hold what is known of one world.

    ``last`` is the newest event applied, None before the first snapshot. ``resync`` is None while in step. ``ahead`` is
    the newest event that came meanwhile; ``epoch`` and ``sequence`` are what renewals showed to be reached.
    """

    last: Event | None = None
    resync: Resync | None = Resync.UNKNOWN
    ahead: Event | None = None
    epoch: int = 0
    sequence: int = 0

    @property
    def gate(self) -> Gate | None:
        """Return the world's gate, None while it is closed for want of knowledge."""
        return None if self.resync is not None or self.last is None else self.last.gate


def apply(held: Followed, event: Event) -> Followed:
    """Return what is held after an event of the control stream."""
    if held.resync is not None or held.last is None:
        newer = held.ahead is None or event.gate.sequence >= held.ahead.gate.sequence
        return replace(held, ahead=event) if newer else held
    last = held.last.gate
    if event.gate.sequence < last.sequence or event.gate.event_hash == last.event_hash:
        return held
    fault = _fault(last, event)
    if fault is not None:
        return replace(held, resync=fault, ahead=event)
    return replace(held, last=event)


def resynced(held: Followed, snapshot: Event) -> Followed:
    """Return what is held after a snapshot was read; still closed where it does not suffice."""
    if held.last is not None and _refused(held.last.gate, snapshot.gate):
        return held
    after = Followed(snapshot, None)
    if held.ahead is not None:
        after = apply(after, held.ahead)
    return _reached(after, held.epoch, held.sequence)


def shown(held: Followed, stated: Gate, place: WorldPlace | None) -> Followed:
    """Return what is held after a lease renewal has shown how far the world is, None where it did not name it;
    ``stated`` is the gate as of when the renewal was asked for."""
    if _went_back(stated, place):
        return lost(held, Resync.ASTRAY)
    return held if place is None else _reached(held, place.epoch, place.sequence)


def _reached(held: Followed, epoch: int, sequence: int) -> Followed:
    floor = replace(held, epoch=max(held.epoch, epoch), sequence=max(held.sequence, sequence))
    if held.resync is not None or held.last is None:
        return floor
    last = held.last.gate
    return replace(floor, resync=Resync.BEHIND) if epoch > last.epoch or sequence > last.sequence else held


def lost(held: Followed, reason: Resync) -> Followed:
    """Return what is held after events may have been missed: closed, until a snapshot was read from now on.

    The first reason stays, but that a world is astray says more than any other.
    """
    return replace(held, resync=reason if reason is Resync.ASTRAY else held.resync or reason)


def _went_back(stated: Gate, place: WorldPlace | None) -> bool:
    """Tell whether a world is behind what was told of it: each event is written with what it tells of."""
    if place is None or place.epoch != stated.epoch:
        return stated.epoch > (0 if place is None else place.epoch)
    return stated.is_open and not place.is_open


def _fault(last: Gate, event: Event) -> Resync | None:
    if event.gate.sequence > last.sequence + 1:
        return Resync.GAP
    if last.timeline_id and event.gate.timeline_id != last.timeline_id:
        return Resync.TIMELINE
    return Resync.HASH if event.previous_hash != last.event_hash else None


def _refused(last: Gate, snapshot: Gate) -> bool:
    """Tell whether a snapshot is older than what is held, or says other than what was told under the same number."""
    if (snapshot.sequence, snapshot.epoch) == (last.sequence, last.epoch):
        return snapshot.event_hash != last.event_hash
    return snapshot.sequence <= last.sequence or snapshot.epoch < last.epoch
