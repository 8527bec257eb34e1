"""What an executor reads off the stream: nothing that is malformed gets as far as a judgement or a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qmtl_executor.messages import decode_passed, decode_seats, encode_passed, encode_seats, read_intent, read_mark
from qmtl_executor.model import Intent, Mark, MarkKind, OnDemote, OnFreeze, Passed, Seat, Unreadable
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import intent_id
from qmtl_foundation.pb.qmtl.order.v1 import intent_pb2, mark_pb2

BAR = datetime(2026, 1, 5, 21, tzinfo=UTC)
ID = intent_id("desk", "ann/Trend", BAR, "AAPL")


def intent(**changes: Any) -> bytes:
    """Return an intent as it stands in the stream, with some of it changed and its id as it was."""
    stated = {"intent_id": ID, "world": "desk", "strategy_id": "ann/Trend", "bar_time": BAR, "symbol": "AAPL"}
    return intent_pb2.OrderIntent(**{**stated, **changes}).SerializeToString()


def test_a_mark_says_what_stands_in_it_and_unstated_terms_are_the_default_ones() -> None:
    message = mark_pb2.Mark(world="desk", number=3, kind=mark_pb2.MARK_KIND_FENCE, epoch=2, timeline_id="t1")
    mark = read_mark(message.SerializeToString(), "desk")
    assert mark == Mark(3, MarkKind.FENCE, 2, "t1", "", OnFreeze.CANCEL, OnDemote.FLATTEN, {})


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        mark_pb2.Mark(world="other", kind=mark_pb2.MARK_KIND_FENCE).SerializeToString(),
        mark_pb2.Mark(world="desk").SerializeToString(),
        mark_pb2.Mark(world="desk", kind=9).SerializeToString(),  # type: ignore[arg-type]  # of a newer release
    ],
)
def test_a_mark_that_is_none_is_unreadable_where_marks_stand(payload: bytes) -> None:
    read = read_mark(payload, "desk")
    assert isinstance(read, Unreadable)
    assert read.is_mark


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        intent(world="other"),
        intent(world="other", intent_id=intent_id("other", "ann/Trend", BAR, "AAPL")),
        intent(intent_id="7"),
        intent(strategy_id="a\0b", intent_id=intent_id("desk", "a\0b", BAR, "AAPL")),
        intent(bar_time={"seconds": 1 << 60}),
    ],
)
def test_an_intent_that_is_none_is_unreadable_and_closes_nothing(payload: bytes) -> None:
    read = read_intent(payload, "desk")
    assert isinstance(read, Unreadable)
    assert not read.is_mark


@pytest.mark.parametrize(
    "changes",
    [
        {"intent_id": "blake3:" + "0" * 64},
        {"strategy_id": "bob/Carry"},
        {"symbol": "MSFT"},
        {"bar_time": BAR + timedelta(microseconds=1)},
    ],
)
def test_an_intent_under_the_id_of_another_wish_is_unreadable(changes: dict[str, Any]) -> None:
    assert isinstance(read_intent(intent(), "desk"), Intent)
    read = read_intent(intent(**changes), "desk")
    assert isinstance(read, Unreadable)
    assert not read.is_mark
    assert "strategy, bar and symbol" in read.cause


def test_an_intent_of_an_unknown_mode_has_none() -> None:
    read = read_intent(intent(mode=99), "desk")  # of a newer release
    assert isinstance(read, Intent)
    assert read.mode is None


def test_what_is_stored_is_read_again() -> None:
    seats = {
        name: Seat(name, "v", "long", mode, 0.1, "paper")
        for name, mode in (("ann/Trend", EffectiveMode.PAPER), ("bob/Carry", None))
    }
    passed = Passed(7, MarkKind.OPEN, 3, "run-1")
    assert decode_seats(encode_seats(seats)) == seats
    assert decode_passed(encode_passed(passed)) == passed
    assert decode_passed(None) is None
