"""Judges each message of a world's order stream by where it stands. Pure; no clock.

1. A mark is passed (``pass_mark``): numbers without gaps, monotone epochs, ``Open`` only for the fence's own epoch.
2. An intent is judged (``fenced``, ``judge``) by the marks before it: taken, fenced or refused; its stamps by the
   newest set.
3. What the world service says once an Open was passed must be the same (``confirms``); it may close, never open.
4. A stream, an enrolment or a journal that is not the one known makes unsure (``on_stream``, ``on_enrolment``,
   ``on_restored``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from qmtl_executor.model import (
    NO_EPOCH,
    NOTHING_PURGED,
    Fenced,
    Intent,
    Mark,
    MarkKind,
    Passed,
    Place,
    Purged,
    Refused,
    Seat,
    Taken,
    Told,
    Unreadable,
    Verdict,
)
from qmtl_foundation.errors import Reason
from qmtl_foundation.execution_domain import EffectiveMode

MAX_SYMBOL: Final = 64  # as a data preset has them
FIRST_BAR: Final = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_BARS: Final = datetime(2262, 1, 1, tzinfo=UTC)  # nearly where int64 nanoseconds end


class Act(Enum):
    """Say what a mark did."""

    IGNORED = auto()  # passed before, or of an epoch below the fence
    CLOSED = auto()  # something was missed
    FENCED = auto()
    STOOD = auto()  # a Fence or Open of this epoch that was passed before under another number
    OPENED = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """Hold where a place is after a mark, what the mark did, and what is to be acknowledged, if anything."""

    place: Place
    act: Act
    passed: Passed | None = None


@dataclass(frozen=True, slots=True)
class Me:
    """Hold who judges: an executor and the one mode whose orders it takes."""

    executor: str
    mode: EffectiveMode


def enrolled(told: Told, generation: str) -> Place:
    """Return the place of a new enrolment: closed, before the Fence that it was enrolled behind."""
    return Place(told.enrolment, told.enrolment_position - 1, told.enrolment - 1, generation=generation)


def on_enrolment(place: Place, told: Told) -> Place:
    """Return the place under an enrolment that may be another one than the place's: then nothing before its Fence
    counts, and the Fence acts even where this epoch's was passed under the former one."""
    if told.enrolment == place.enrolment:
        return place
    return replace(
        place,
        enrolment=told.enrolment,
        position=max(place.position, told.enrolment_position - 1),
        mark=max(place.mark, told.enrolment - 1),
        is_open=False,
        unsure=True,
    )


def on_restored(known: Place) -> Place:
    """Return where an executor goes on whose journal was restored to an older state, from where it was before that.

    What the journal has lost must not be executed again, and what it says of positions is not true any more: closed
    until the world was reseeded, by an operator who has compared them. A Fence that was written without knowledge of it
    ends nothing.
    """
    return replace(known, is_open=False, unsure=True, restored_mark=known.mark)


def on_stream(place: Place, generation: str, first: int, last: int, purged: Purged = NOTHING_PURGED) -> Place:
    """Return the place in a stream that has the sequences ``[first, last]``: closed where messages may be missing.

    What stood up to ``purged`` may be gone, though newest marks stand before it; everybody had settled it. A purge of
    another generation, or beyond the end, is none of this stream's: whoever stood behind the end would hear nothing.
    Another generation, or one that ends before the position, is read from its start; nothing of it is executed before
    a Fence.
    """
    if generation != place.generation or last < place.position:
        return replace(place, generation=generation, position=first - 1, is_open=False, unsure=True)
    is_of_this = purged.generation == generation and purged.position <= last
    gone = max(first - 1, purged.position if is_of_this else 0)
    if gone > place.position:
        return replace(place, position=gone, is_open=False, unsure=True)
    return place


def pass_mark(place: Place, mark: Mark, position: int) -> Step:
    """Return where a place is behind a mark, and what the mark did.

    A Fence acts if its epoch is above the fence, or once more at the fence when something was missed. An Open acts at
    the fence's epoch only; one above it stands behind a Fence that was not passed, and closes at its epoch until that
    comes. A mark of another timeline is not believed unless it is a Fence above everything passed.
    """
    place = replace(place, position=position)
    if place.timeline not in ("", mark.timeline):
        return _foreign(place, mark)
    if mark.number <= place.mark:
        return Step(place, Act.IGNORED)
    missed = mark.number != place.mark + 1
    place = replace(place, mark=mark.number, unsure=place.unsure or missed, is_open=place.is_open and not missed)
    step = _fence(place, mark) if mark.kind is MarkKind.FENCE else _open(place, mark)
    return replace(step, act=Act.CLOSED) if missed and step.act is Act.IGNORED else step


def pass_unreadable(place: Place, message: Unreadable, position: int) -> Place:
    """Return where a place is behind a message that cannot be read: closed, if it is where marks stand."""
    if message.is_mark:
        return replace(place, position=position, is_open=False, unsure=True)
    return replace(place, position=position)


def fenced(place: Place, intent: Intent) -> Fenced | None:
    """Return why the marks keep an intent back that stands right behind ``place``, None if they do not."""
    if intent.epoch < place.fence:
        return Fenced(f"stands behind the Fence of epoch {place.fence}, is of epoch {intent.epoch}")
    if not place.is_open or intent.epoch > place.fence:
        return Fenced(f"epoch {intent.epoch} has no Open before this place in the order stream")
    return None


def judge(place: Place, intent: Intent, me: Me, told: Told | None) -> Verdict:
    """Return what becomes of an intent that no mark keeps back; ``told`` was asked for after the Open was passed."""
    if told is None or not confirms(place, told):
        return Fenced("the world is elsewhere, or not this executor's any more, by what the world service says")
    return _stamps(place, intent, me) or _wish(intent) or Taken(place.seats[intent.strategy_id])


def confirms(place: Place, told: Told) -> bool:
    """Tell whether the world service says what the Open said; ``told`` was asked for after that was passed.

    An Open is written by the transaction that opens the world, so a world that is told of as further has moved on, and
    one that is behind, or not open, belongs to a database that was restored to before it.
    """
    return told.epoch == place.fence and told.is_open


def is_ours(seat: Seat | None, me: Me) -> bool:
    """Tell whether a seat's orders are this executor's."""
    return seat is not None and seat.executor == me.executor and seat.mode is me.mode


def _foreign(place: Place, mark: Mark) -> Step:
    """Close on a mark of another database's timeline; a reseeded world fences above everything that was seen."""
    closed = replace(place, is_open=False, unsure=True)
    if mark.kind is not MarkKind.FENCE or mark.epoch <= place.fence:
        return Step(closed, Act.CLOSED)
    return _fence(replace(closed, timeline=mark.timeline, mark=mark.number, restored_mark=None), mark)


def _fence(place: Place, mark: Mark) -> Step:
    if place.restored_mark is not None and mark.reseed_mark <= place.restored_mark:
        return Step(place, Act.IGNORED)
    if mark.epoch > place.fence or (place.unsure and mark.epoch == place.fence):
        sure = replace(place, is_open=False, unsure=False, restored_mark=None)
        return Step(replace(sure, fence=mark.epoch, timeline=mark.timeline, seats={}), Act.FENCED, _passed(mark))
    if mark.epoch == place.fence:
        return Step(place, Act.STOOD, _passed(mark))
    return Step(place, Act.IGNORED)


def _open(place: Place, mark: Mark) -> Step:
    if mark.epoch > place.fence:
        return Step(replace(place, fence=mark.epoch, is_open=False, unsure=True, seats={}), Act.CLOSED)
    if place.unsure or place.fence == NO_EPOCH or mark.epoch < place.fence:
        return Step(place, Act.IGNORED)
    act = Act.STOOD if place.is_open else Act.OPENED
    return Step(replace(place, is_open=True, seats=mark.seats), act, _passed(mark))


def _passed(mark: Mark) -> Passed:
    return Passed(mark.number, mark.kind, mark.epoch, mark.run_id)


def _stamps(place: Place, intent: Intent, me: Me) -> Refused | None:
    """Refuse an intent that is not stamped with what the set of its epoch says (S13)."""
    seat = place.seats.get(intent.strategy_id)
    if seat is None:
        return Refused(
            Reason.ACTIVATION_MISMATCH, f"strategy_id: {intent.strategy_id} is not in the set of epoch {place.fence}"
        )
    stated = (
        ("executor", intent.executor, me.executor),
        ("executor", seat.executor, me.executor),
        ("mode", intent.mode, me.mode),
        ("mode", seat.mode, me.mode),
        ("strategy_version", intent.version, seat.version),
        ("side", intent.side, seat.side),
    )
    for field, given, expected in stated:
        if given != expected:
            return Refused(Reason.ACTIVATION_MISMATCH, f"{field}: is {given}, must be {expected}")
    return None


def _wish(intent: Intent) -> Refused | None:
    if not 1 <= len(intent.symbol) <= MAX_SYMBOL:
        return Refused(Reason.INVALID_FIELD, f"symbol: must have 1 to {MAX_SYMBOL} characters")
    if not FIRST_BAR <= intent.bar_time < END_OF_BARS:
        return Refused(Reason.INVALID_FIELD, f"bar_time: {intent.bar_time} is outside the years 1970 to 2261")
    if not (math.isfinite(intent.target) and -1.0 <= intent.target <= 1.0):
        return Refused(Reason.INVALID_FIELD, f"target: is {intent.target}, must be within [-1, 1]")
    return None
