"""An executor's lease: it lasts as long as the world service says, from before it was asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from qmtl_executor.lease import Lease
from qmtl_executor.model import Told

TTL = 60.0
WORLDS = {"desk": Told(epoch=3, is_open=True, enrolment=1, enrolment_position=1)}


async def test_a_lease_that_was_never_given_is_not_held() -> None:
    lease = Lease()
    assert (lease.is_held, lease.told("desk")) == (False, None)


async def test_a_lease_counts_from_before_the_question() -> None:
    lease = Lease()
    question = lease.ask()
    await lease.renew(replace(question, asked=question.asked - TTL), TTL, WORLDS)  # the answer took as long as it lasts
    assert not lease.is_held
    await lease.renew(lease.ask(), TTL, WORLDS)
    assert lease.is_held


async def test_a_world_that_is_not_named_any_more_is_not_told_of() -> None:
    lease = Lease()
    await lease.renew(lease.ask(), TTL, WORLDS)
    assert lease.told("desk") == WORLDS["desk"]
    await lease.renew(lease.ask(), TTL, {})
    assert lease.told("desk") is None


async def test_a_world_service_that_has_lost_an_epoch_which_it_told_is_not_believed() -> None:
    lease = Lease()
    stopped = replace(WORLDS["desk"], epoch=4, is_open=False)
    await lease.renew(lease.ask(), TTL, {"desk": stopped})
    await lease.renew(lease.ask(), TTL, WORLDS)  # a standby took over that did not have the stop
    assert (lease.told("desk"), lease.believed("desk"), lease.highest("desk")) == (WORLDS["desk"], None, 4)
    await lease.renew(lease.ask(), TTL, {"desk": stopped})
    assert lease.believed("desk") == stopped


async def test_an_answer_to_what_was_asked_before_says_nothing_of_what_came_since() -> None:
    lease = Lease()
    under_way = lease.ask()
    since = asyncio.create_task(lease.held_since(lease.asked))
    await asyncio.sleep(0)
    await lease.renew(under_way, TTL, WORLDS)
    await asyncio.sleep(0)
    assert lease.is_held
    assert not since.done()
    await lease.renew(lease.ask(), TTL, WORLDS)
    await asyncio.wait_for(since, 5.0)


async def test_a_lease_that_is_over_is_waited_for() -> None:
    lease = Lease()
    since = asyncio.create_task(lease.held_since(0))
    await asyncio.sleep(0)
    await lease.renew(lease.ask(), 0.0, WORLDS)
    await asyncio.sleep(0)
    assert not since.done()
    await lease.renew(lease.ask(), TTL, WORLDS)
    await asyncio.wait_for(since, 5.0)
