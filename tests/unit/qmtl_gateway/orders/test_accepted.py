"""The memory of what was accepted: the same again passes, another content under its id does not."""

from __future__ import annotations

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_gateway.orders.accepted import Accepted
from qmtl_gateway.orders.messages import from_intents
from qmtl_gateway.orders.model import Intent
from tests.support.intents import EPOCH, order_intent


def wish(symbol: str = "AAPL", target: float = 0.25, epoch: int = EPOCH) -> Intent:
    return from_intents([order_intent(symbol, target=target, epoch=epoch)])[0]


def test_a_repetition_passes_and_another_content_under_its_id_is_refused() -> None:
    accepted = Accepted()
    accepted.add([wish("A"), wish("B")])
    accepted.check([wish("A"), wish("B"), wish("C", target=0.5)])
    with pytest.raises(QmtlError) as caught:
        accepted.check([wish("A"), wish("B", target=0.5)])
    assert caught.value.reason is Reason.INTENT_EXISTS
    assert caught.value.metadata == {"intent_id": wish("B").intent_id}


def test_an_id_that_a_fence_may_have_caught_is_not_used_up_by_its_epoch() -> None:
    accepted = Accepted()
    accepted.add([wish()])
    accepted.check([wish(target=0.5, epoch=EPOCH + 1)])
    accepted.add([wish(target=0.5, epoch=EPOCH + 1)])
    with pytest.raises(QmtlError, match="another content"):
        accepted.check([wish(target=0.75, epoch=EPOCH + 1)])


def test_the_oldest_are_forgotten_and_what_was_repeated_is_not_old() -> None:
    accepted = Accepted(kept=2)
    accepted.add([wish("A"), wish("B")])
    accepted.add([wish("A")])
    accepted.add([wish("C")])
    accepted.check([wish("B", target=0.5)])
    for kept in ("A", "C"):
        with pytest.raises(QmtlError, match="another content"):
            accepted.check([wish(kept, target=0.5)])
