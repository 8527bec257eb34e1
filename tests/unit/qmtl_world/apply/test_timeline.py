"""What an entry of the audit says was asked for, so that the chain commits to what may trade."""

from __future__ import annotations

import pytest

from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.apply.model import state_hash
from qmtl_world.apply.place import Deregister, Enrol, Event, Reseed, Start, Stop, TimePassed
from qmtl_world.apply.timeline import asked_for
from tests.support.apply_world import plan

SET = plan("ana/Trend", "ben/Carry")


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (Start("run-1", SET, frozenset()), f"state_hash: {state_hash(SET)}"),
        (Start("run-1", (), frozenset()), f"state_hash: {state_hash(())}"),
        (Start("run-1", None, frozenset(), clears="operator"), "ends_hold: operator"),
        (Stop("drill", "why"), "hold: drill"),
        (Enrol("paper", EffectiveMode.PAPER), "executor: paper, mode: paper"),
        (Deregister("paper"), "executor: paper"),
        (Reseed(3, 4, 5), ""),
        (TimePassed(), ""),
    ],
)
def test_an_entry_says_what_was_asked_for(event: Event, detail: str) -> None:
    assert asked_for(event) == detail
