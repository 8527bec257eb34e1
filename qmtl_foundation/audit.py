"""The hash chain of a world's audit: how an entry is hashed, and what a reader finds wrong with a chain. Pure.

The database hashes each entry as it is written; this is the same rule again, for whoever verifies. It is SHA-256
(FIPS 180-4) over netstrings (D. J. Bernstein, 1997), so that ``sha256sum`` will do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
MISSING: Final = "missing"
CUT: Final = "missing: a later end was noted"

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one entry: ``epoch`` and ``sequence`` as they are after it, ``create_time`` in whole microseconds."""

    world: str
    number: int
    event: str
    actor: str
    reason: str
    detail: str
    run_id: str
    epoch: int
    sequence: int
    create_time: datetime
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """Hold the number and the hash of an entry; number 0: of none."""

    number: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Say what is wrong with which entries of a world's audit."""

    first: int
    last: int
    what: str


def hash_of(entry: Entry, previous: str) -> str:
    """Return the hash that an entry must have behind one with the hash ``previous``, which is empty for the first."""
    microseconds = (entry.create_time - _START) // _MICROSECOND
    fields = (
        previous, entry.world, entry.number, entry.event, entry.actor, entry.reason, entry.detail, entry.run_id,
        entry.epoch, entry.sequence, microseconds,
    )  # fmt: skip
    content = b"".join(_netstring(str(each)) for each in fields)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def verify(entries: Iterable[Entry], head: Head, anchor: Head | None = None) -> Iterator[Fault]:
    """Yield what is wrong with a world's whole audit, given the newest entry first.

    ``head`` is what the world keeps beside its entries. ``anchor`` is the head of an earlier day, noted elsewhere:
    without one, a chain that was written anew from some entry on, were it the last, head and all, looks right.
    """
    later: Entry | None = None
    for entry in entries:
        yield from _ends(entry, head) if later is None else _follows(later, entry)
        if anchor is not None and entry.number == anchor.number and entry.hash != anchor.hash:
            yield Fault(entry.number, entry.number, "another entry was noted here: the audit was written anew")
        later = entry
    if later is not None:
        yield from _begins(later)
    elif head.number:
        yield Fault(1, head.number, MISSING)
    if anchor is not None and anchor.number > head.number:
        yield Fault(head.number + 1, anchor.number, CUT)


def _ends(newest: Entry, head: Head) -> Iterator[Fault]:
    if newest.number < head.number:
        yield Fault(newest.number + 1, head.number, MISSING)
    elif newest.number > head.number:
        yield Fault(head.number + 1, newest.number, "beyond the end that is kept beside the entries")
    elif newest.hash != head.hash:
        yield Fault(newest.number, newest.number, "changed: another hash is kept beside the entries")


def _follows(later: Entry, entry: Entry) -> Iterator[Fault]:
    if entry.number >= later.number:
        yield Fault(entry.number, entry.number, "out of order")
    elif entry.number + 1 < later.number:
        yield Fault(entry.number + 1, later.number - 1, MISSING)
    elif hash_of(later, entry.hash) != later.hash:
        yield _changed(later)


def _begins(first: Entry) -> Iterator[Fault]:
    if first.number > 1:
        yield Fault(1, first.number - 1, MISSING)
    elif first.number < 1:
        yield Fault(first.number, first.number, "out of order")
    elif hash_of(first, "") != first.hash:
        yield _changed(first)


def _changed(entry: Entry) -> Fault:
    return Fault(entry.number, entry.number, "changed: the hash is not that of the content")


def _netstring(text: str) -> bytes:
    content = text.encode()
    return b"%d:%b," % (len(content), content)
