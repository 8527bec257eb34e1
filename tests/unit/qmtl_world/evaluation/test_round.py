"""A round as it was applied: what a chosen strategy that was not activated remembers."""

from __future__ import annotations

from datetime import UTC, datetime

from qmtl_world.evaluation.model import RoundState, StrategyState
from qmtl_world.evaluation.round import as_applied

FIRST = datetime(2013, 3, 1, tzinfo=UTC)
LATER = datetime(2013, 3, 4, tzinfo=UTC)


def chosen(as_of: datetime, before: tuple[StrategyState, ...] = ()) -> RoundState:
    """Return the state of a round that chose one strategy."""
    return RoundState(as_of, before, (StrategyState("a", active=True, dwell_rounds=1),))


def test_a_strategy_that_was_chosen_and_not_activated_waits_one_round_longer() -> None:
    first = as_applied(chosen(FIRST), frozenset())
    assert first.after == (StrategyState("a", active=False, streak=1),)
    later = as_applied(chosen(LATER, first.after), frozenset())
    assert later.after == (StrategyState("a", active=False, streak=2),)


def test_deciding_again_for_the_same_snapshot_counts_no_round() -> None:
    before = (StrategyState("a", streak=3),)
    states = [as_applied(chosen(FIRST, before), frozenset()).after for _ in range(3)]
    assert states == [(StrategyState("a", active=False, streak=4),)] * 3


def test_a_strategy_that_was_activated_is_remembered_as_decided() -> None:
    assert as_applied(chosen(FIRST), frozenset({"a"})) == chosen(FIRST)
