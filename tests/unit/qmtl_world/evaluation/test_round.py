"""A round: who stands for a strategy of two versions, when it applies, what one that was not activated remembers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from qmtl_world.apply.model import OnFreeze, RunTerms
from qmtl_world.evaluation.model import RoundState, StrategyState
from qmtl_world.evaluation.records import Contender, ContenderRecord
from qmtl_world.evaluation.round import RoundResult, RoundTask, as_applied, decide_round
from qmtl_world.evaluation.shelf import Missing
from tests.support.cohorts import GATES
from tests.support.records import SERIES, present, record, stored

FIRST = datetime(2013, 3, 1, tzinfo=UTC)
LATER = datetime(2013, 3, 4, tzinfo=UTC)


def decided(*contenders: Contender, guest: ContenderRecord | None = None, more: str = "") -> RoundResult:
    """Decide a round of contenders whose returns are all the same."""
    policy = (GATES + "select: {top_k: 3}\n" + more).encode()
    task = RoundTask(FIRST, present(), contenders, guest, policy, RoundState())
    result = decide_round(task, {f"series-{row}": SERIES for row in range(5)})
    assert not isinstance(result, Missing)
    return result


def test_a_version_that_may_not_be_selected_leaves_its_place_to_the_one_in_force() -> None:
    result = decided(Contender(record(row=2, sharpe=0.1), incumbent=record(row=1)))
    assert result.held_off == {"a"}
    assert [(each.active, each.score) for each in result.decision.strategies] == [(True, 1.0)]
    assert [(each.status, each.score) for each in result.alone] == [("invalid", 0.1)]


def test_a_version_that_may_be_selected_takes_the_place_of_the_one_in_force() -> None:
    result = decided(Contender(record(row=2, sharpe=2.0), incumbent=record(row=1)))
    assert (result.held_off, result.alone) == (frozenset(), ())
    assert [each.score for each in result.decision.strategies] == [2.0]


def test_a_guest_is_judged_by_itself_and_decides_nothing() -> None:
    result = decided(Contender(record(row=2)), guest=record(row=1, sharpe=3.0))
    assert [each.score for each in result.alone] == [3.0]
    assert [each.score for each in result.decision.strategies] == [1.0]


@pytest.mark.parametrize(("more", "applies"), [("", True), ("apply: auto\n", True), ("apply: manual\n", False)])
def test_a_round_applies_by_itself_unless_the_policy_waits_for_an_operator(more: str, applies: bool) -> None:
    assert decided(Contender(record()), more=more).applies is applies


def test_no_round_applies_while_a_cached_result_of_another_context_stands() -> None:
    hit = replace(stored(), dataset=replace(stored().dataset, cross_context_hits=1))
    result = decided(Contender(record()), Contender(record("b", row=2, candidate=hit)))
    assert not result.applies


def test_a_round_hands_on_the_terms_of_its_policy() -> None:
    assert decided(Contender(record())).terms == RunTerms()
    stated = "runs: {switch_timeout_ms: 500, on_freeze: leave}\n"
    assert decided(Contender(record()), more=stated).terms == RunTerms(switch_timeout_ms=500, on_freeze=OnFreeze.LEAVE)


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
