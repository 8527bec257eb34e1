"""The short form of rolling restarts: schemas migrated, each service replaced once under load, no error told."""

from __future__ import annotations

import pytest

from tests.faults.campaign import SMALL, campaign
from tests.faults.cluster.cluster import PROCESSES
from tests.faults.rolling import roll
from tests.faults.tally import Tally
from tests.upgrades.later import migrate_later

SEED = 20_262


@pytest.mark.timeout(420)  # a whole cluster with its runners, on a machine that may be loaded
def test_replacing_every_service_on_a_newer_schema_fails_no_call_and_loses_no_order() -> None:
    with campaign(SEED, SMALL, print) as found:
        migrate_later(found.cluster.dsn)
        rolled = roll(found, 1, print)
    assert rolled.load.errors() == []
    assert [str(each) for each in rolled.violations] == []
    assert set(rolled.seconds) == set(PROCESSES)
    assert rolled.load.submitted
    assert {each.outcome for each in rolled.load.applied} <= {"completed", "rolled back"}
    assert "completed" in {each.outcome for each in rolled.load.applied}
    tally = Tally.of(rolled.histories)
    assert tally.executed
    assert tally.again >= 0, "more was answered than was sent"
