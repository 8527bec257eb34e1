"""Wait for a condition instead of sleeping for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

POLL_SECONDS = 0.005


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return as soon as the condition holds; fail the test when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come true within {seconds:g} s"
        time.sleep(POLL_SECONDS)


async def eventually(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Let the event loop go on until the condition holds; fail the test when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(POLL_SECONDS)


async def becomes(read: Callable[[], Awaitable[Any]], wanted: Any, seconds: float = 15.0) -> None:
    """Return as soon as a reading is the wanted one; fail the test when it never is."""
    async with asyncio.timeout(seconds):
        while await read() != wanted:  # noqa: ASYNC110  # as above
            await asyncio.sleep(POLL_SECONDS)
