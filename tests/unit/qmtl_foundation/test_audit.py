"""The chain of an audit: one hash by hand with ``hashlib`` over netstrings, and every way in which a chain breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from qmtl_foundation.audit import CUT, HASH, MISSING, Entry, Fault, Head, hash_of, verify

NOON = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
CHANGED = "changed: the hash is not that of the content"


def chain(length: int) -> list[Entry]:
    """Return a chain, the newest entry first."""
    entries: list[Entry] = []
    for number in range(1, length + 1):
        entry = Entry("desk", number, "requested", "ana", f"go {number}", "", "run-1", 2, 3, NOON, "")
        entries.append(replace(entry, hash=hash_of(entry, entries[-1].hash if entries else "")))
    return entries[::-1]


def end(entries: Sequence[Entry]) -> Head:
    return Head(entries[0].number, entries[0].hash)


def faults(entries: Sequence[Entry], head: Head, anchor: Head | None = None) -> list[Fault]:
    return list(verify(entries, head, anchor))


def test_an_entry_is_hashed_over_netstrings_of_its_fields() -> None:
    entry = Entry("desk", 1, "world_created", "ana", "why, é", "", "", 0, 0, NOON, "")
    content = "0:,4:desk,1:1,13:world_created,3:ana,7:why, é,0:,0:,1:0,1:0,16:1796040000123456,".encode()
    assert hash_of(entry, "") == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert HASH.fullmatch(hash_of(entry, ""))


def test_a_whole_chain_has_no_fault() -> None:
    entries = chain(5)
    assert faults(entries, end(entries), Head(3, entries[2].hash)) == []
    assert faults([], Head()) == []


@pytest.mark.parametrize("field", [each.name for each in fields(Entry) if each.name not in ("world", "number")])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_changed_field_is_found_where_it_stands(field: str, number: int) -> None:
    entries = chain(5)
    at = 5 - number
    stated = getattr(entries[at], field)
    other: Any = NOON.replace(microsecond=1) if field == "create_time" else stated + type(stated)("9")
    changed = [*entries[:at], replace(entries[at], **{field: other}), *entries[at + 1 :]]
    found = faults(changed, end(entries))
    assert number in {each.first for each in found}
    assert {each.first for each in found} <= {number, number + 1}


def test_an_entry_that_was_hashed_anew_is_found_by_the_one_behind_it() -> None:
    entries = chain(5)
    forged = replace(entries[2], actor="bob", hash="")
    forged = replace(forged, hash=hash_of(forged, entries[3].hash))
    assert faults([*entries[:2], forged, *entries[3:]], end(entries)) == [Fault(4, 4, CHANGED)]


def test_missing_entries_are_named() -> None:
    entries = chain(6)
    head = end(entries)
    assert faults([entries[0], *entries[3:]], head) == [Fault(4, 5, MISSING)]
    assert faults(entries[2:], head) == [Fault(5, 6, MISSING)]
    assert faults(entries[:4], head) == [Fault(1, 2, MISSING)]
    assert faults([], head) == [Fault(1, 6, MISSING)]


def test_an_end_that_is_not_what_is_kept_beside_it_is_a_fault() -> None:
    entries = chain(4)
    beyond = "beyond the end that is kept beside the entries"
    assert faults(entries, Head(2, entries[2].hash)) == [Fault(3, 4, beyond)]
    forged = replace(entries[0], actor="bob")
    forged = replace(forged, hash=hash_of(forged, entries[1].hash))
    other = "changed: another hash is kept beside the entries"
    assert faults([forged, *entries[1:]], end(entries)) == [Fault(4, 4, other)]


def test_numbers_out_of_order_are_a_fault() -> None:
    entries = chain(4)
    twice = [entries[0], entries[1], entries[1], *entries[2:]]
    assert faults(twice, end(entries)) == [Fault(3, 3, "out of order")]
    before = Entry("desk", 0, "requested", "ana", "", "", "", 0, 0, NOON, "")
    before = replace(before, hash=hash_of(before, ""))
    first = replace(entries[-1], hash="")
    first = replace(first, hash=hash_of(first, before.hash))
    assert faults([first, before], Head(1, first.hash)) == [Fault(0, 0, "out of order")]


def test_a_chain_that_was_written_anew_or_cut_is_found_by_what_was_noted() -> None:
    entries = chain(4)
    noted = Head(3, "sha256:" + "0" * 64)
    anew = "another entry was noted here: the audit was written anew"
    assert faults(entries, end(entries), noted) == [Fault(3, 3, anew)]
    cut = entries[2:]
    assert faults(cut, end(cut)) == []
    assert faults(cut, end(cut), end(entries)) == [Fault(3, 4, CUT)]
