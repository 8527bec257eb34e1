"""The short form of ``make drill``: everything is lost under load once, and restored by the page."""

from __future__ import annotations

import pytest

from tests.drill.loss import Loss
from tests.faults.campaign import SLOW, campaign
from tests.faults.load import loaded

SEED = 20_263


@pytest.mark.timeout(420)  # a whole cluster with its runners, on a machine that may be loaded
def test_what_is_restored_after_a_total_loss_is_what_was_backed_up_and_nothing_of_its_stream_is_executed() -> None:
    with campaign(SEED, SLOW, print) as found, loaded(found.scene) as load:
        came = Loss(found, load, "streams, then database; by the page").play()
    assert came.lost, "nothing was done after the backup: nothing was shown"
    assert came.submissions
    assert came.applies
