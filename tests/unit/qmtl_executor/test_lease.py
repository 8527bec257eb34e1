"""An executor's lease: it lasts as long as the world service says, from before it was asked."""

from __future__ import annotations

import time

from qmtl_executor.lease import Lease
from qmtl_executor.model import Told

TTL = 60.0
WORLDS = {"desk": Told(epoch=3, mark=4, is_open=True, enrolment=1, enrolment_position=1)}


async def test_a_lease_that_was_never_given_is_not_held() -> None:
    lease = Lease()
    assert (lease.is_held, lease.told("desk")) == (False, None)


async def test_a_lease_counts_from_before_the_question() -> None:
    lease = Lease()
    await lease.renew(time.monotonic() - TTL, TTL, WORLDS)  # the answer took as long as the lease lasts
    assert not lease.is_held
    await lease.renew(time.monotonic(), TTL, WORLDS)
    assert lease.is_held


async def test_a_world_that_is_not_named_any_more_is_not_told_of() -> None:
    lease = Lease()
    await lease.renew(time.monotonic(), TTL, WORLDS)
    assert lease.told("desk") == WORLDS["desk"]
    await lease.renew(time.monotonic(), TTL, {})
    assert lease.told("desk") is None
