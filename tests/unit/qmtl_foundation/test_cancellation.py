"""A loop hears a cancellation that came together with an answer."""

from __future__ import annotations

import asyncio

import pytest

from qmtl_foundation.cancellation import heed_cancellation


async def test_a_swallowed_cancellation_is_heard_at_the_next_turn() -> None:
    turns = []

    async def loop() -> None:
        while True:
            heed_cancellation()
            turns.append(len(turns))
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:  # as a library that returns its answer instead
                continue

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert turns


async def test_a_task_that_nobody_cancelled_goes_on() -> None:
    heed_cancellation()
