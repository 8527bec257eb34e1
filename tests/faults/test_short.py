"""The short form of ``make faults``: two faults, ten runs on real processes, judged as all are."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import judge
from tests.faults.campaign import SHORT, campaign
from tests.faults.strikes import FAULTS

SEED = 20_261
RUNS = 10
STRUCK = ("gateway paused with orders in hand", "executor paused, a second instance started")


@pytest.mark.timeout(420)  # a whole cluster with fifteen runners, on a machine that may be loaded
def test_ten_runs_that_are_struck_break_no_invariant() -> None:
    with campaign(SEED, SHORT, print) as found:
        for name in STRUCK:
            found.strike(next(each for each in FAULTS if each.name == name))
        verdict = judge(found)
    assert [str(each) for each in verdict.violations] == []
    assert len(verdict.struck) == RUNS
    fenced = [one for history in verdict.histories for one in history.turned_away if one.outcome == "fenced"]
    assert fenced, "the orders that the gateway had in hand did not arrive"
    assert all(history.journal for history in verdict.histories)
